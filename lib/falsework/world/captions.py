"""The caption ladder of scenes: six levels from nothing to the whole picture, each adding factors to the one before.

Which factor is named first is an ordering. By visible energy (what moves most pixels first) is the default, and it is
measured, not decreed; the human order (thing first) is kept as the control.

Dimension key: N scenes, F factors.
"""

from __future__ import annotations

import numpy as np

from falsework.core.errors import one_of
from falsework.core.rng import rng
from falsework.world.render import render, to_unit
from falsework.world.scene import EXACT, Grammar, Scenes

LEVELS = ("none", "thing", "short", "descriptive", "ultra", "near-exact", "pixels")
NAMED = (0, 1, 3, 5, 7, 8, 9)  # how many factors of the nine each level names
HUMAN = ("shape", "colour", "size", "position", "background", "style", "light", "nudge_x", "nudge_y")
ORDERS = ("energy", "human")


def visible_energy(grammar: Grammar = EXACT, n: int = 2000) -> dict[str, float]:
    """Return each factor's visible energy: the mean squared change of the whole picture (pixels -1 to 1, summed)

    when that factor alone is drawn anew, over `n` random scenes.
    """
    draw = rng("visible_energy", grammar.name)
    scenes = {f: draw.integers(len(v), size=n) for f, v in grammar.factors.items()}
    before = to_unit(render(scenes, grammar)).reshape(n, -1)
    out = {}
    for factor, values in grammar.factors.items():
        moved = {**scenes, factor: (scenes[factor] + draw.integers(1, len(values), size=n)) % len(values)}
        out[factor] = float(((to_unit(render(moved, grammar)).reshape(n, -1) - before) ** 2).sum(1).mean())
    return out


def factor_order(order: str, grammar: Grammar = EXACT) -> tuple[str, ...]:
    """Return the factors in the order in which captions name them: "energy" (measured) or "human"."""
    if one_of("The order of the caption levels", order, ORDERS) == "human":
        return HUMAN
    energy = visible_energy(grammar)
    return tuple(sorted(energy, key=lambda f: -energy[f]))


def level_factors(order: str, grammar: Grammar = EXACT) -> dict[str, tuple[str, ...]]:
    """Return the factors that each level names, in order: every level contains the one before."""
    factors = factor_order(order, grammar)
    return {level: factors[:k] for level, k in zip(LEVELS, NAMED)}


def level_codes(scenes: Scenes, order: str, grammar: Grammar = EXACT) -> dict[str, np.ndarray]:
    """Return int64 codes (N,) by level: equal codes, equal captions. "pixels" tells the whole render."""
    return {level: grammar.code(scenes, named) for level, named in level_factors(order, grammar).items()}


def caption(scene: dict[str, str], named: tuple[str, ...]) -> str:
    """Return one plain English phrase that names these factors of a scene (factor -> value name) and no others."""
    told = {f: scene[f] for f in named}
    words = [told.get("size"), told.get("style"), told.get("colour"), told.get("shape") or ("thing" if told else None)]
    phrases = [" ".join(w for w in words if w)]
    phrases += [f"in the {told['position']}"] * ("position" in told)
    phrases += [f"on {told['background']}"] * ("background" in told)
    phrases += [f"lit from the {told['light']}"] * ("light" in told)
    nudges = [told[f] for f in ("nudge_x", "nudge_y") if f in told]
    phrases += [f"nudged {' and '.join(nudges)}"] * bool(nudges)
    return ", ".join(p for p in phrases if p)
