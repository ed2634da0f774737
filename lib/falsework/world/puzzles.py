"""Four cells of which the last is asked: a matrix to complete, or an example and a thing to change like it.

There are eight answers: each of the three attributes has a right and a wrong value, 2 x 2 x 2. Every value stands in four
of the eight, so whoever sees the answers alone is at chance (answers made by changing the right one betray it: Hu et
al. 2021). The step from right to wrong is as long as a change and goes either way: a wrong value that was always the
value before the change would be known by lying behind. Whoever copies the cell to the left is always wrong.

Dimension key: N puzzles, A = 8 answers, F = 3 attributes, S side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from falsework.core.dataset import Index
from falsework.core.errors import Refused, one_of
from falsework.core.rng import rng
from falsework.world.kinds import ATTRIBUTES, Kind, Thing, kinds_of
from falsework.world.scene import COLOURS, SHAPES, STYLES, Scenes
from falsework.world.scenes import SceneWorld
from falsework.world.stage import draw

ANSWERS = 8
KINDS = ("matrix", "episode")
COUNTS = np.array([len(COLOURS), len(SHAPES), len(STYLES)])  # values of each of ATTRIBUTES


@dataclass(frozen=True)
class Puzzles:
    """cells: int64 (N, 4, F), values of ATTRIBUTES in reading order, the last cell the truth. answers: int64 (N, A, F).

    right: int64 (N,), which answer is the truth. ground: background and light of each.
    """

    cells: np.ndarray
    answers: np.ndarray
    right: np.ndarray
    ground: Scenes

    def __len__(self) -> int:
        return len(self.right)

    def pictures(self, side: int) -> np.ndarray:
        """Return uint8 (N, A, S, S, 3): each puzzle with each of its answers in the last cell."""
        looks = np.repeat(self.cells[:, None], ANSWERS, 1)
        looks[:, :, 3] = self.answers
        flat = {f"cell {k} {f}": looks[:, :, k, a].reshape(-1) for k in range(4) for a, f in enumerate(ATTRIBUTES)}
        ground = {f: np.repeat(v, ANSWERS) for f, v in self.ground.items()}
        return draw(_four(), flat | ground, side).reshape(len(self), ANSWERS, side, side, 3)

    def after(self, others: Puzzles) -> Puzzles:
        """Return the same questions after the examples of others: upper rows that have nothing to do with them."""
        if len(others) != len(self):
            raise Refused(f"There are {len(self)} puzzles and {len(others)} other examples, but each needs one.")
        return replace(self, cells=np.concatenate([others.cells[:, :2], self.cells[:, 2:]], 1))


@cache
def _four() -> Kind:
    """Return the kind of picture that shows four given looks, drawn as a matrix is."""
    matrix = kinds_of()["matrix"]

    def put(scenes: Scenes) -> list[Thing]:
        like = matrix.put(scenes | {f: scenes[f"cell 0 {f}"] for f in ATTRIBUTES} | _still(scenes))
        return [
            replace(
                t, colour=scenes[f"cell {k} colour"], shape=scenes[f"cell {k} shape"], style=scenes[f"cell {k} style"]
            )
            for k, t in enumerate(like)
        ]

    return replace(matrix, put=put)


def _still(scenes: Scenes) -> Scenes:
    nothing = np.zeros_like(scenes["background"])
    return {"change": nothing, "across": nothing, "down": nothing}


def puzzles_of(world: SceneWorld, kind: str, index: Index, *keys: object) -> Puzzles:
    """Return the puzzles of scenes of one kind, "matrix" or "episode"; wrong values and the order are decided by the keys.

    Raises Refused for another kind.
    """
    grammar, draws = world.kinds[one_of("The kind of puzzle", kind, KINDS)], rng(*keys)
    scenes = world.scenes(index, grammar)
    cells = np.stack([np.stack([getattr(t, f) for f in ATTRIBUTES], 1) for t in grammar.put(scenes)], 1)
    first, truth = cells[:, 0], cells[:, 3]
    back = draws.random(truth.shape) < 0.5
    if kind == "matrix":  # what changed, unchanged or changed twice; what never changes, changed
        other = truth + 1 + draws.integers(COUNTS - 1, size=truth.shape)
        wrong = np.where(truth != first, np.where(back, first, 2 * truth - first), other) % COUNTS
    else:  # every attribute moved by the example's step, from where it should be
        steps = scenes["across"][:, None] + 1
        wrong = (truth + np.where(back, -steps, steps)) % COUNTS
    order = draws.permuted(np.tile(np.arange(ANSWERS), (len(truth), 1)), axis=1)
    is_wrong = (order[:, :, None] >> np.arange(len(ATTRIBUTES))) & 1
    answers = np.where(is_wrong == 1, wrong[:, None], truth[:, None])
    ground = {f: scenes[f] for f in ("background", "light")}
    return Puzzles(cells, answers, (order == 0).argmax(1), ground)
