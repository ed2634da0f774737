"""08_noise_ladder, the exact part: noise level x caption level in bits, with the two controls that must break it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from falsework.data.emoji import load_emoji
from falsework.experiments import Experiment, Measured, Subject
from falsework.experiments.exact_worlds import DRAWING_SIGMAS, climb, drawings_world, scenes_world
from falsework.world.ladder import SIGMAS, TEXTURE

LEAST_BITS = 0.1  # below this J a share of it means nothing


def coverage(subject: Subject) -> Measured:
    """Coverage of every caption level at every sigma where J is at least .1 bit, and all the bits behind it.

    Arms: "exact" (levels by visible energy, texture), "exact_human" (levels in the human order), "exact_plain"
    (texture off), "drawings" (real pictures, with the same texture).
    """
    n = 32 if subject.preset == "smoke" else 192
    if subject.arm == "drawings":
        rows = climb(drawings_world(TEXTURE), DRAWING_SIGMAS, n, "08 drawings", subject.seed)
    else:
        order = "human" if subject.arm == "exact_human" else "energy"
        world = scenes_world(order, 0.0 if subject.arm == "exact_plain" else TEXTURE)
        rows = climb(world, SIGMAS, n, "08", subject.seed)
    J = {r["sigma"]: r["value"] for r in rows if r["metric"] == "J"}
    shown = ("coverage", "least_level")
    return Measured([r for r in rows if r["metric"] not in shown or J[r["sigma"]] >= LEAST_BITS])


def arms(preset: str) -> Mapping[str, Any]:
    """Return the exact arms; the trained ones join with the notebook."""
    return dict.fromkeys(("exact", "exact_human", "exact_plain", "drawings"))


EXPERIMENT = Experiment(
    notebook="08_noise_ladder",
    arms=arms,
    seeds={"smoke": (0, 1), "laptop": (0, 1, 2), "overnight": (0, 1, 2, 3, 4), "gpu": (0, 1, 2)},
    measures={"coverage": coverage},
    data=lambda: {"emoji": load_emoji().digest},
)
