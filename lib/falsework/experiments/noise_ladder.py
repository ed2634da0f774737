"""08_noise_ladder: noise level x caption level in bits: the exact answer, a trained net beside it, and what breaks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from falsework.data.emoji import load_emoji
from falsework.experiments import Experiment, Measured, Subject
from falsework.experiments.exact_worlds import DRAWING_SIGMAS, climb, drawings_world, scenes_world
from falsework.noise import shrunk
from falsework.probes.information import Errors, errors, left_bits, lower_bound
from falsework.recipes.diffusion import PRESETS as DENOISERS
from falsework.recipes.noisy_reader import PRESETS as READERS
from falsework.recipes.pairs import as_tensor
from falsework.world.captions import LEVELS, load_scenes
from falsework.world.exact import BITS, ExactWorld
from falsework.world.ladder import SIGMAS, TEXTURE

LEAST_BITS = 0.1  # below this J a share of it means nothing
TOLD = LEVELS[:-1]  # what the net was taught: pixels as words are no sentence
SHOWN_ONCE = 1  # the seed of the net without text
TEXTURES = (0.02, 0.04, 0.06, 0.09, 0.13)  # swept, with both orders of the levels
EXACT = ("exact", "exact_human", "exact_plain", "drawings")


def coverage(subject: Subject) -> Measured:
    """Coverage of every caption level at every sigma where J is at least .1 bit, and all the bits behind it.

    Arms: "exact" (levels by visible energy, texture), "exact_human" (levels in the human order), "exact_plain"
    (texture off), "drawings" (real pictures, with the same texture); "trained", a net that saw pictures and captions and
    nothing else: its coverage is its own, no exact number enters; "unconditional"; "reader", the lower bound.
    """
    n, skip = (8, 3) if subject.preset == "smoke" else (192, 1)
    if subject.arm in ("trained", "unconditional"):
        return _trained(subject)
    if subject.arm == "reader":
        return _bound(subject)
    if subject.arm == "drawings":
        rows = climb(drawings_world(TEXTURE), DRAWING_SIGMAS[::skip], n, "08 drawings", subject.seed)
    else:
        order = "human" if subject.arm == "exact_human" else "energy"
        world = scenes_world(order, 0.0 if subject.arm == "exact_plain" else TEXTURE)
        rows = climb(world, SIGMAS[::skip], n, "08", subject.seed)
    J = {r["sigma"]: r["value"] for r in rows if r["metric"] == "J"}
    shown = ("coverage", "least_level")
    return Measured([r for r in rows if r["metric"] not in shown or J[r["sigma"]] >= LEAST_BITS])


def _trained(subject: Subject) -> Measured:
    """What the net says, level by level, and its error in every band beside the exact denoiser's, on the same draws.

    metric            bits
    J                 what the net, told nothing, has left to pay above sigma: 1/2 int |x - D_0|^2
    coverage          1 - (what it has left to pay when told) / J
    caption_worth     the difference;  caption_apart: the same from |D_0 - D_c|^2
    paid, paid_exact  |x - D_c|^2 / sigma^2 per e-fold of noise: the net's and Bayes'
    """
    world, scenes = scenes_world(), load_scenes("energy")
    n, sigmas = (8, SIGMAS[::3]) if subject.preset == "smoke" else (256, SIGMAS)
    levels = TOLD if subject.arm == "trained" else TOLD[:1]
    words = subject.recipe.pairs.vocabulary
    found = errors(subject.model, words, world, scenes.captions, levels, sigmas, n, "08 trained", subject.seed)
    return Measured(_rows(found, levels, scenes_J(world, sigmas)))


def scenes_J(world: ExactWorld, sigmas: tuple[float, ...]) -> np.ndarray:
    """Return an upper bound of J at each sigma: all of the render, and the texture; to cut off where there is nothing."""
    spread = world.variance_between() + world.D * world.texture**2
    return np.array([0.5 * BITS * spread / s**2 for s in sigmas])


def _rows(found: Errors, levels: tuple[str, ...], most: np.ndarray) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    bare, bare_se = left_bits(found.net["none"], found.sigmas)
    for s, sigma in enumerate(found.sigmas):
        rows.append({"metric": "J", "sigma": float(sigma), "value": float(bare[s]), "se": float(bare_se[s])})
    for number, level in enumerate(levels):
        told = left_bits(found.net[level], found.sigmas)[0]
        worth, worth_se = bare - told, left_bits(found.net["none"] - found.net[level], found.sigmas)[1]
        apart, apart_se = left_bits(found.apart[level], found.sigmas)
        for s, sigma in enumerate(found.sigmas):
            at = {"sigma": float(sigma), "level": number, "name": level}
            bands = ((f"paid{end}", group[level][s]) for end, group in (("", found.net), ("_exact", found.exact)))
            for metric, square in bands:
                bits = square / sigma**2 * BITS
                se = float(bits.std(ddof=1) / np.sqrt(len(bits)))
                rows.append({"metric": metric, **at, "value": float(bits.mean()), "se": se})
            rows.append({"metric": "caption_worth", **at, "value": float(worth[s]), "se": float(worth_se[s])})
            rows.append({"metric": "caption_apart", **at, "value": float(apart[s]), "se": float(apart_se[s])})
            if most[s] >= LEAST_BITS:
                rows.append({"metric": "coverage", **at, "value": float(1 - told[s] / bare[s])})
    return rows


@torch.inference_mode()
def _bound(subject: Subject) -> Measured:
    """What a reader of noisy pictures can be sure of: H(c) + E log q(c | x_s), never more than there is."""
    world, scenes = scenes_world(), load_scenes("energy")
    n, sigmas = (32, SIGMAS[::3]) if subject.preset == "smoke" else (512, SIGMAS)
    rows: list[dict[str, Any]] = []
    for s, sigma in enumerate(sigmas):
        drawn = world.sample(n, s, "08 bound", subject.seed)
        x_s = (drawn.x + np.float32(sigma) * drawn.eps).reshape(n, 16, 16, 3)
        device = next(subject.model.parameters()).device
        seen = shrunk(as_tensor(x_s), torch.full((n,), sigma))
        logits = subject.model(seen.to(device))
        sure = {f: v.double().log_softmax(1).cpu().numpy() for f, v in logits.items()}
        log_q = {f: v[np.arange(n), scenes.labels(drawn.index, f)] for f, v in sure.items()}
        for number, name in enumerate(TOLD[1:], 1):
            told = sum(log_q[f] for f in scenes.named[name])
            bits, se = lower_bound(world.entropy(name), np.asarray(told)[None])
            at = {"sigma": float(sigma), "level": number, "name": name}
            rows.append({"metric": "caption_least", **at, "value": float(bits[0]), "se": float(se[0])})
    return Measured(rows)


def sweep(subject: Subject) -> Measured:
    """The staircase of the exact world under other textures, and in the human order: where does it stand and where not?"""
    if subject.arm != "exact":
        return Measured([])
    few = subject.preset == "smoke"
    n, sigmas, textures = (4, SIGMAS[::3], TEXTURES[2:3]) if few else (64, SIGMAS, TEXTURES)
    rows: list[dict[str, Any]] = []
    for order in ("energy", "human"):
        for texture in textures:
            found = climb(scenes_world(order, texture), sigmas, n, "08 sweep", subject.seed)
            J = {r["sigma"]: r["value"] for r in found if r["metric"] == "J"}
            keep = [r for r in found if r["metric"] == "least_level" and J[r["sigma"]] >= LEAST_BITS]
            rows += [{**r, "order": order, "texture": texture} for r in keep]
    return Measured(rows)


def arms(preset: str) -> Mapping[str, Any]:
    """Return the exact arms, the net that 05 trains as well, one without text, and the reader of noisy pictures."""
    main = DENOISERS[preset]
    trained = {"trained": main, "unconditional": replace(main, silent=1.0), "reader": READERS[preset]}
    return {**dict.fromkeys(EXACT), **trained}


EXPERIMENT = Experiment(
    notebook="08_noise_ladder",
    arms=arms,
    seeds={"smoke": (0, 1), "laptop": (0, 1, 2), "overnight": (0, 1, 2, 3, 4), "gpu": (0, 1, 2)},
    few={p: {"unconditional": (SHOWN_ONCE,), "reader": (0,)} for p in ("smoke", "laptop")},
    measures={"coverage": coverage, "sweep": sweep},
    data=lambda: {"emoji": load_emoji().digest},
    published_only=("sweep",),
)
