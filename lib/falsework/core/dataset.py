"""What every collection of captioned pictures offers, drawn or rendered, finite or endless.

Dimension key: N pictures asked for, H height, W width, 3 colours (red, green, blue).
"""

from __future__ import annotations

import hashlib
from typing import Protocol, runtime_checkable

import numpy as np

from falsework.core.errors import Refused

Index = np.ndarray  # int64, shape (N,): which pictures


@runtime_checkable
class Dataset(Protocol):
    """A world to train in. Pictures are named by integers; what is asked for twice is given twice alike."""

    name: str
    digest: str  # sha256 of the raw arrays: part of every key that was trained on them
    levels: tuple[str, ...]  # caption levels from no words to most words; levels[0] is "none"
    factors: dict[str, tuple[str, ...]]  # factor -> names of its values

    def split(self, name: str) -> Index:
        """Return the picture numbers of "train", "val", "test" or a held-out kind; raises Refused for another name."""
        ...

    def images(self, index: Index) -> np.ndarray:
        """Return uint8 (N, H, W, 3)."""
        ...

    def captions(self, index: Index, level: str) -> list[str]:
        """Return N captions of one level; "none" gives empty strings."""
        ...

    def labels(self, index: Index, factor: str) -> np.ndarray:
        """Return int64 (N,): positions in `factors[factor]`."""
        ...


def checked(index: Index, size: int) -> Index:
    """Return picture numbers as int64 (N,); raises Refused unless they are whole numbers from 0 to size - 1."""
    index = np.atleast_1d(np.asarray(index))
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise Refused(f"The picture numbers are {index.dtype} {index.shape}, but must be a list of integers.")
    low, high = index.min(initial=0), index.max(initial=0)
    if low < 0 or high >= size:
        raise Refused(f"The picture numbers run from {low} to {high}, but must be within 0 to {size - 1}.")
    return index.astype(np.int64)


def digest_arrays(*arrays: np.ndarray) -> str:
    """Return the sha256 of raw bytes, dtypes and shapes: the same for any archive format or compression."""
    h = hashlib.sha256()
    for a in arrays:
        h.update(f"{a.dtype.str}{a.shape}".encode())
        h.update(np.ascontiguousarray(a).tobytes())
    return h.hexdigest()
