"""The two exact worlds of 00 and 08: 32,768 small scenes with texture, and the drawings as a list of real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from falsework.core.evidence import Row
from falsework.data.emoji import load_emoji
from falsework.world.captions import level_codes, load_scenes
from falsework.world.exact import ExactWorld
from falsework.world.ladder import TEXTURE, ladder

DRAWING_SIGMAS = tuple(float(2.0 ** (k / 2)) for k in range(-4, 15))  # 1/4 to 128
DRAWING_LEVELS = ("none", "group", "name", "name and style")


@cache
def scenes_world(order: str = "energy", texture: float = TEXTURE) -> ExactWorld:
    """Return all scenes of the small grammar, 16 x 16, with caption levels in one of two orders."""
    scenes = load_scenes("energy")
    codes = scenes.codes if order == "energy" else level_codes(scenes.scenes, order)
    return ExactWorld(scenes.unit, codes, texture=texture)


@cache
def drawings_world(texture: float = 0.0) -> ExactWorld:
    """Return all drawings, 32 x 32 on white, as an exact world: levels none, group, name, name and style."""
    emoji = load_emoji()
    every = np.arange(len(emoji))
    pixels = (emoji.images(every).reshape(len(every), -1) / 127.5 - 1).astype(np.float32)
    group, concept, style = (emoji.labels(every, f) for f in ("group", "concept", "style"))
    codes = (0 * group, group, concept, concept * len(emoji.factors["style"]) + style)
    return ExactWorld(pixels, dict(zip(DRAWING_LEVELS, codes)), texture=texture, factors={"style": style})


def climb(world: ExactWorld, sigmas: Sequence[float], n: int, *keys: object) -> list[Row]:
    """Return the ladder's rows as the claims read them: J with its parts, and caption levels by number."""
    number = {level: i for i, level in enumerate(world.levels)}
    out: list[Row] = []
    for row in ladder(world, sigmas, n, *keys):
        level, metric = row["level"], row["metric"]
        plain = {"sigma": row["sigma"], "value": row["value"], "se": row["se"]}
        if metric == "J":
            out.append({"metric": {"total": "J"}.get(level, f"J_{level}"), **plain})
        elif metric == "least_level":
            out.append({"metric": metric, "name": level, "sigma": row["sigma"], "value": row["value"]})
        elif level in number:
            name = metric if metric == "coverage" else f"caption_{metric}"
            out.append({"metric": name, "level": number[level], "name": level, **plain})
        else:
            out.append({"metric": f"factor_{metric}", "name": level, **plain})
    return out
