"""Twenty-one named colours, told apart in CIE Lab: the words in which captions speak of colour.

Dimension key: N pictures, ... any leading shape, 3 colours (red, green, blue) as sRGB in 0..255.
"""

from __future__ import annotations

from functools import cache

import numpy as np

PALETTE: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "light grey": (203, 206, 210),
    "grey": (140, 142, 146),
    "dark grey": (74, 76, 80),
    "black": (0, 0, 0),
    "red": (222, 38, 40),
    "maroon": (110, 20, 32),
    "orange": (246, 138, 30),
    "brown": (135, 84, 48),
    "cream": (250, 232, 196),
    "yellow": (255, 212, 50),
    "green": (66, 168, 58),
    "dark green": (24, 84, 44),
    "light green": (176, 230, 180),
    "teal": (0, 145, 145),
    "light blue": (140, 208, 246),
    "blue": (30, 88, 232),
    "navy": (14, 20, 112),
    "purple": (136, 66, 190),
    "lavender": (206, 186, 242),
    "pink": (248, 160, 194),
}
COLOURS: tuple[str, ...] = tuple(PALETTE)
RGB = np.array(list(PALETTE.values()), dtype=np.uint8)  # (21, 3)
# Flat colours to draw on: pale or dark, so that the bright drawings stay visible.
BACKGROUNDS: tuple[str, ...] = (
    *("white", "light grey", "cream", "pink", "lavender", "light blue", "light green"),
    *("black", "dark grey", "navy", "maroon", "dark green"),
)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIE L*a*b* (..., 3), float64, of sRGB (..., 3) in 0..255; white point D65 (IEC 61966-2-1)."""
    v = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ (to_xyz / to_xyz.sum(axis=1, keepdims=True)).T
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@cache
def _lookup() -> np.ndarray:
    """Return uint8 (64, 64, 64): the nearest palette entry of each colour rounded to 6 bits a channel."""
    steps = np.arange(64) * 255 / 63
    grid = lab(np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)).reshape(-1, 3)
    named = lab(RGB)
    # the nearest of few: |g - p|^2 without its constant |g|^2
    nearest = ((named**2).sum(axis=1) - 2 * grid @ named.T).argmin(axis=1)
    return nearest.astype(np.uint8).reshape(64, 64, 64)


def nearest_colour(rgb: np.ndarray) -> np.ndarray:
    """Return uint8 (...): positions in `COLOURS` of the colours nearest in Lab to uint8 `rgb` (..., 3).

    Colours are rounded to 6 bits a channel first, so one within 2 of a border may fall on either side.
    """
    r, g, b = np.moveaxis((np.asarray(rgb).astype(np.uint16) * 63 + 127) // 255, -1, 0)
    return _lookup()[r, g, b]
