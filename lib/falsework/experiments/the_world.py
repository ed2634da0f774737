"""00_the_world: what a noisy picture still tells, exactly, at the two ends; and one drawing that melts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from falsework.core.rng import rng
from falsework.data.emoji import load_emoji
from falsework.experiments import Experiment, Measured, Subject
from falsework.experiments.exact_worlds import DRAWING_SIGMAS, climb, drawings_world, scenes_world
from falsework.world.ladder import SIGMAS

MELT_SIGMAS = (0.25, 1.0, 2.0, 5.0, 7.0, 10.0, 20.0, 64.0)
MELTING = ("dog face", "noto")


def information(subject: Subject) -> Measured:
    """J, the bits that are left to say, and what each caption tells of them, by sigma; a fresh test set per seed."""
    n, skip = (16, 4) if subject.preset == "smoke" else (192, 1)
    if subject.arm == "exact":
        return Measured(climb(scenes_world(), SIGMAS[::skip], n, "00", subject.seed))
    return Measured(climb(drawings_world(), DRAWING_SIGMAS[::skip], n, "00 drawings", subject.seed))


def melting(subject: Subject) -> Measured:
    """One drawing at eight noise levels, and how certain the best reader is of each word of its caption.

    Certainty is (p - prior) / (1 - prior), p the posterior of the true word averaged over 64 draws of noise: 1 is sure,
    0 is what a blind guess has.
    """
    if subject.arm != "drawings":
        return Measured([])
    emoji, world = load_emoji(), drawings_world()
    index = emoji.find(*MELTING)
    clean = emoji.images(np.array([index])).reshape(1, -1).astype(np.float32) / 127.5 - 1
    told = ("group", "name", "style")
    rows, ink, pictures = [], np.zeros((len(told), len(MELT_SIGMAS))), []
    for k, sigma in enumerate(MELT_SIGMAS):
        draws = 8 if subject.preset == "smoke" else 64
        noise = rng("00 melting", subject.seed, sigma).standard_normal((draws, clean.shape[1]), dtype=np.float32)
        noisy = clean + np.float32(sigma) * noise
        pictures.append(as_seen(noisy[0], sigma))
        for w, factor in enumerate(told):
            group = world.group(factor)
            mine = group.code[index]
            p, prior = float(world.posterior(noisy, sigma, factor)[:, mine].mean()), float(group.prior[mine])
            ink[w, k] = max(0.0, (p - prior) / (1 - prior))
            rows.append({"metric": "certainty", "word": factor, "sigma": sigma, "value": float(ink[w, k])})
    if subject.seed:
        return Measured(rows)
    words = [emoji.captions(np.array([index]), "group")[0], MELTING[0], f"{MELTING[1]} style"]
    arrays = {
        "melt_sigma": np.array(MELT_SIGMAS),
        "melt_words": np.array(words),
        "melt_ink": ink,
        "melt_pictures": np.stack(pictures),
    }
    return Measured(rows, arrays)


def as_seen(noisy_D: np.ndarray, sigma: float) -> np.ndarray:
    """Return a noisy picture as uint8 (32, 32, 3), dimmed with the noise so that nearly all of it fits the screen."""
    shown = noisy_D.reshape(32, 32, 3) / np.sqrt(1 + (1.7 * sigma) ** 2)
    return np.clip((shown + 1) * 127.5, 0, 255).round().astype(np.uint8)


def arms(preset: str) -> Mapping[str, Any]:
    """Return the two exact worlds; nothing is trained."""
    return {"exact": None, "drawings": None}


EXPERIMENT = Experiment(
    notebook="00_the_world",
    arms=arms,
    seeds={"smoke": (0, 1), "laptop": (0, 1, 2), "overnight": (0, 1, 2, 3, 4), "gpu": (0, 1, 2)},
    measures={"information": information, "melting": melting},
    data=lambda: {"emoji": load_emoji().digest},
    published_only=("melting",),
)
