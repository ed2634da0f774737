"""Who is red? Two pictures and two captions of the same words, so that nothing but binding tells them apart.

Of a scene with two things one attribute is swapped between them: picture B. Each picture is asked for both captions. A
model that knows the words of each caption, but not whose they are, is right on one picture of two; so is one that does
not look, whatever captions it likes better: what it wins on A it loses on B (equal text prior, exactly).

Dimension key: N pairs, S side in pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from falsework.core.errors import Refused, one_of
from falsework.probes.candidates import Scorer
from falsework.world.captions import LEVELS
from falsework.world.kinds import ATTRIBUTES, held_out
from falsework.world.scene import Scenes
from falsework.world.scenes import SceneWorld
from falsework.world.stage import draw

IN_PLACE = "shape in place"


class Swaps(NamedTuple):
    """N pairs: pictures uint8 (2N, S, S, 3), A's before B's, and for each two captions, its own first."""

    pictures: np.ndarray
    captions: list[list[str]]


def swaps_of(world: SceneWorld, attribute: str, n: int, level: str, *keys: object) -> Swaps:
    """Return n pairs, a function of the keys; neither picture is on training's side or shows what is held out.

    attribute: "colour", "style" ..., one that both things have with the same values; or "shape in place", for things
    whose shapes are of two families: both looks stay where they are, and the shapes change places under them (so the
    sentence names the other look first and turns its relation round). A swap of colours can be seen by asking which
    colour is on the left; this one cannot. Raises Refused for a world of many kinds, an attribute that cannot be swapped,
    and a caption level that does not say it of both things.
    """
    if len(world.kinds) > 1:
        raise Refused(f"The world shows {len(world.kinds)} kinds of scene, but a swap needs one of two things.")
    kind = next(iter(world.kinds.values()))
    both = (attribute, f"{attribute}_2") if attribute != IN_PLACE else ("relation", "colour", "colour_2")
    able = [f for f in kind.factors if kind.factors.get(f"{f}_2") == kind.factors[f]]
    able += [IN_PLACE] * ({"shape_2", "relation"} <= set(kind.factors) and "shape" not in able)
    one_of("The attribute to swap", attribute, able)
    one_of("The caption level", level, LEVELS[1:-1])
    if not set(both) <= set(world.said[kind.name][level]):
        raise Refused(f"The caption level {level!r} does not say {attribute} of both things, but a swap needs it.")
    found: list[tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]] = []
    have, round_ = 0, 0
    while have < n:
        index, _ = world.draw(4 * n, "test", *keys, round_)
        scenes = world.scenes(index, kind)
        other = exchanged(scenes, attribute)
        apart = [scenes[f] != other[f] for f in ATTRIBUTES]
        fine = np.any(apart, axis=0) & ~np.any(list(held_out(kind, other).values()), axis=0)
        index, other = index[fine], {f: v[fine] for f, v in other.items()}
        pictures = draw(kind, other, world.side, world.sprites)
        fine = ~world.on_side("train", pictures)  # two in 16: the others may have been seen in training
        found.append((index[fine], {f: v[fine] for f, v in other.items()}, pictures[fine]))
        have, round_ = have + int(fine.sum()), round_ + 1
    index, swapped = (np.concatenate([part[k] for part in found])[:n] for k in (0, 2))
    other = {f: np.concatenate([part[1][f] for part in found])[:n] for f in kind.factors}
    factors = world.said[kind.name][level]
    said_b = [kind.phrase.say({f: kind.factors[f][other[f][k]] for f in factors}) for k in range(n)]
    said_a = world.captions(index, level)
    return Swaps(
        np.concatenate([world.images(index), swapped]),
        [[a, b] for a, b in zip(said_a, said_b)] + [[b, a] for a, b in zip(said_a, said_b)],
    )


def exchanged(scenes: Scenes, attribute: str) -> Scenes:
    """Return the scenes in which two things have exchanged one attribute, or their shapes in place (see `swaps_of`)."""
    moved = (attribute,) if attribute != IN_PLACE else ("colour", "style")
    other = {a: scenes[b] for f in moved for a, b in ((f, f"{f}_2"), (f"{f}_2", f))}
    if attribute == IN_PLACE:
        other["relation"] = scenes["relation"] ^ 1  # left of and right of, above and below
    return {**scenes, **other}


def preferences(score: Scorer, swaps: Swaps) -> np.ndarray:
    """Return float64 (2N,): how much better a picture's own caption fits than the swapped one, in the scorer's units."""
    scores = score(swaps.pictures, swaps.captions)
    return np.asarray(scores[:, 0] - scores[:, 1])


def binding_accuracy(preference: np.ndarray, slack: float = 1e-4) -> float:
    """Return the share of pictures whose own caption fits better; a tie, within `slack`, counts half. Chance is .5."""
    return float((preference > slack).mean() + 0.5 * (np.abs(preference) <= slack).mean())
