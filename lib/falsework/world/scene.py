"""The grammar of scenes: which factors a picture has, which values each may take, how scenes are numbered.

A grammar is data. The exact world below lists every combination (32,768 scenes, 15 bits); a larger scene
world is another `Grammar` with more values and more factors, drawn by the same renderer and named by the
same captions. A value's name is its key in the renderer's tables, so nothing here knows pixels.

Dimension key: N scenes, F factors, K_f values of factor f.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from falsework.core.errors import Refused, one_of

Scenes = dict[str, np.ndarray]  # factor -> int64 (N,): position of its value in the grammar's tuple

SHAPES = ("circle", "square", "triangle", "cross", "diamond", "star", "heart", "crescent")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
STYLES = ("filled", "outlined", "striped", "soft", "dotted", "framed")
BACKGROUNDS = ("night", "wine", "stone", "cream")


@dataclass(frozen=True)
class Grammar:
    """A named table `factor -> its values`, counted through in this order, the last factor fastest."""

    name: str
    factors: Mapping[str, tuple[str, ...]]
    side: int = 16  # height and width in pixels

    def __post_init__(self) -> None:
        for factor, values in self.factors.items():
            if not values or len(set(values)) != len(values):
                raise Refused(f"Factor {factor!r} has the values {values!r}, but needs one or more different ones.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each factor, in order."""
        return tuple(len(values) for values in self.factors.values())

    def __len__(self) -> int:
        return prod(self.shape)

    def scenes(self, index: np.ndarray | None = None) -> Scenes:
        """Return the scenes numbered `index` (int (N,); default all) as factor -> int64 (N,).

        Raises Refused for a number outside 0..len-1.
        """
        index = np.arange(len(self)) if index is None else np.asarray(index, dtype=np.int64)
        if index.size and (index.min() < 0 or index.max() >= len(self)):
            given, allowed = f"{index.min()} to {index.max()}", f"0 to {len(self) - 1}"
            raise Refused(f"Scene numbers are {given}, but grammar {self.name!r} has {allowed}.")
        return {f: d.astype(np.int64) for f, d in zip(self.factors, np.unravel_index(index, self.shape))}

    def index(self, scenes: Scenes) -> np.ndarray:
        """Return int64 (N,), the inverse of `scenes`."""
        return np.ravel_multi_index([scenes[f] for f in self.factors], self.shape).astype(np.int64)

    def code(self, scenes: Scenes, factors: tuple[str, ...]) -> np.ndarray:
        """Return int64 (N,): the joint value of some factors as one integer, 0 for no factors.

        This is what a caption naming those factors says. Raises Refused for an unknown factor.
        """
        code = np.zeros(len(next(iter(scenes.values()))), dtype=np.int64)
        for f in factors:
            code = code * len(self.factors[one_of("factor", f, self.factors)]) + scenes[f]
        return code


# Powers of two throughout: every entropy here is a whole number of bits, so a reader can count along.
# The two nudges are a third of a pixel each way: no ordinary sentence names them.
EXACT = Grammar(
    "exact",
    {
        "background": BACKGROUNDS,
        "colour": COLOURS,
        "shape": SHAPES[:4],
        "style": STYLES[:4],
        "size": ("small", "large"),
        "position": ("upper left", "upper right", "lower left", "lower right"),
        "light": ("left", "right"),
        "nudge_x": ("left", "right"),
        "nudge_y": ("up", "down"),
    },
)
