"""Pixel arithmetic for drawings with transparency: lay over a colour, shrink, count colours.

Dimension key: N drawings, S side in pixels, 4 = red, green, blue, alpha (premultiplied: colour times alpha),
9 cells (3 x 3, in reading order), K = 21 palette colours.
"""

from __future__ import annotations

import numpy as np

from falsework.core.errors import Refused
from falsework.data.palette import COLOURS, nearest_colour

CELL_OF_ROW = np.repeat([0, 1, 2], [11, 10, 11])  # the 32 rows, or columns, in three
CELL_AREA = np.outer(np.bincount(CELL_OF_ROW), np.bincount(CELL_OF_ROW)).ravel()  # (9,) pixels


def flat_colours(given: np.ndarray | None, count: int) -> np.ndarray:
    """Return uint8 (count, 3): one colour for all (3,), one each (count, 3), or white for None.

    Raises Refused for another shape or a value outside 0..255.
    """
    flat = np.asarray((255, 255, 255) if given is None else given)
    if flat.shape not in ((3,), (count, 3)) or flat.min(initial=0) < 0 or flat.max(initial=0) > 255:
        raise Refused(
            f"The background is {flat.shape} from {flat.min(initial=0)} to {flat.max(initial=0)}, "
            f"but must be (3,) or ({count}, 3) from 0 to 255."
        )
    return np.broadcast_to(flat.astype(np.uint8), (count, 3))


def composite(rgba: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Return uint8 (N, S, S, 3): premultiplied `rgba` (N, S, S, 4) over `flat` (N, 3)."""
    out = np.ascontiguousarray(rgba[..., :3])
    for i in range(0, len(out), 256):  # blocks that stay in the cache: twice as fast
        clear = (255 - rgba[i : i + 256, ..., 3:]).astype(np.uint16)
        behind = clear * flat[i : i + 256, None, None, :]  # at most 255 * 255: fits 16 bits
        behind += 128
        behind += behind >> 8  # together with the next shift: division by 255, rounded
        out[i : i + 256] += (behind >> 8).astype(np.uint8)  # colour is at most alpha: no overflow
    return out


def resize(pictures: np.ndarray, size: int) -> np.ndarray:
    """Return uint8 (N, size, size, channels) of (N, 32, 32, channels): means of squares, rounded half up.

    Raises Refused for a size other than 32, 16 or 8.
    """
    if size not in (32, 16, 8):
        raise Refused(f"The picture size is {size!r}, but must be 32, 16 or 8.")
    times = 32 // size
    if times == 1:
        return pictures
    total = np.zeros((len(pictures), size, size, pictures.shape[-1]), dtype=np.uint16)  # at most 16 * 255
    for row in range(times):
        for column in range(times):
            total += pictures[:, row::times, column::times]
    return ((total + times * times // 2) // (times * times)).astype(np.uint8)


def colour_counts(rgba: np.ndarray) -> np.ndarray:
    """Return uint8 (N, 9, K): how many drawn pixels of each cell have each palette colour.

    rgba: uint8 (N, 32, 32, 4), premultiplied; colours are made plain first. Drawn: alpha of at least half.
    """
    alpha = np.maximum(rgba[..., 3:], 1).astype(np.uint16)
    plain = ((rgba[..., :3].astype(np.uint16) * 255 + alpha // 2) // alpha).astype(np.uint8)
    cell = CELL_OF_ROW[:, None] * 3 + CELL_OF_ROW
    slot = (np.arange(len(rgba))[:, None, None] * 9 + cell) * len(COLOURS) + nearest_colour(plain)
    counts = np.bincount(slot[rgba[..., 3] >= 128], minlength=len(rgba) * 9 * len(COLOURS))
    return counts.astype(np.uint8).reshape(len(rgba), 9, len(COLOURS))
