"""The renderer of the scene world: a stage with wall and floor, things on it, characters, reflections, clutter.

It blends the same objects as `render`, each drawn once in a small patch and looked up, so that a picture costs a few
blends of patches and a picture depends on its scene alone, never on the batch around it.

Dimension key: N scenes, S side of the picture, P side of a patch, 3 colours. Lengths in sides unless they say px.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from falsework.core.errors import Refused
from falsework.world.font import glyphs
from falsework.world.kinds import Kind, Thing, size_of
from falsework.world.render import BACKGROUND_RGB, COLOUR_RGB, blend, lit_layers, object_patch, rgb_of, to_bytes
from falsework.world.scene import BACKGROUNDS, COLOURS, SHAPES, STYLES, Scenes

HORIZON = 0.78  # where wall and floor meet
MATT, GLOSS, MIRROR = 0.84, 0.93, 0.5  # brightness of the two floors beside the wall; opacity of a reflection
PATTERN = 1.15  # outlines, stripes and dots at 32 px, in those of 16: small things must keep a few of them
SEAM = 0.7  # brightness of the lines between cells
PLATE, INK = 0xF8EEDA, 0x16161D  # a sign and its characters
CELL = 8  # px: a character stands in a cell of 8 x 8, which lies on the token grid


def _place(canvas: np.ndarray, patch: int, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, tuple]:
    """Return a writable view of all P x P windows of (N, 3, H, W), and the index of one window for each picture."""
    windows = sliding_window_view(canvas, (patch, patch), axis=(2, 3), writeable=True)
    return windows, (np.arange(len(canvas)), slice(None), row, column)


def _over(canvas: np.ndarray, alpha: np.ndarray, paint: np.ndarray, row: np.ndarray, column: np.ndarray) -> None:
    """Lay paint (N, 3) or (N, 3, P, P) with opacity (N, P, P) over the windows at (row, column), in place."""
    windows, at = _place(canvas, alpha.shape[-1], row, column)
    paint = paint[:, :, None, None] if paint.ndim == 2 else paint
    ground = windows[at]
    windows[at] = ground + (paint - ground) * alpha[:, None]


@lru_cache(maxsize=8192)
def _lit(shape: int, style: int, radius: float, x: int, y: int, patch: int, side: int) -> np.ndarray:
    """Return (2, 3, P, P): the lit layers of one object in its patch, lit from the left and from the right.

    x, y: its middle, in quarters of a pixel beyond the middle of the patch.
    """
    middle = (patch // 2 + x / 4, patch // 2 + y / 4)
    one = object_patch(SHAPES[shape], STYLES[style], radius, middle, patch, 1.0 if side == 16 else PATTERN)
    return np.concatenate([lit_layers(one[None], lit, side // 16) for lit in (-1, 1)])


class _Set:
    """One thing of every picture: its patches and the window each goes to."""

    def __init__(self, thing: Thing, light: np.ndarray, side: int):
        radius = np.round(thing.radius * side, 3)
        # by the largest radius there may be, not the largest here: a patch cuts the faint edge of what lies in it
        largest = radius.max() if thing.largest is None else round(thing.largest * side, 3)
        self.patch = 2 * int(np.ceil(1.32 * largest + 3.5))
        # a quarter of a pixel is the finest place, so that a few patches serve all pictures
        x, y = (np.round(4 * side * v).astype(int) for v in (thing.x, thing.y))
        self.column, self.row = x // 4 - self.patch // 2, y // 4 - self.patch // 2
        radii, size = np.unique(radius, return_inverse=True)
        counts = (len(SHAPES), len(STYLES), len(radii), 4, 4)
        style = np.zeros_like(thing.shape) if thing.sprite is not None else thing.style  # a badge is plain
        keys = np.ravel_multi_index((thing.shape, style, size, x % 4, y % 4), counts)
        keys, which = np.unique(keys, return_inverse=True)
        found = [
            _lit(shape, look, float(radii[r]), fx, fy, self.patch, side)
            for shape, look, r, fx, fy in zip(*(k.tolist() for k in np.unravel_index(keys, counts)))
        ]
        self.layers = np.stack(found)[which, light]  # (N, 3, P, P)


def _reflect(stage: np.ndarray, thing: _Set, paint: np.ndarray, glossy: np.ndarray, side: int) -> None:
    """Draw a thing upside down on the glossy floors, mirrored at the horizon; stage is (N, 3, S, S + 2 pad)."""
    edge = round(HORIZON * side)
    deep, pad = side - edge, (stage.shape[3] - side) // 2
    cover = np.pad(thing.layers[:, 1], ((0, 0), (deep, deep), (0, 0)))  # nothing above it, nothing below
    # floor row k mirrors row 2 edge - 1 - k of the stage
    first = np.clip(2 * edge - side - thing.row + deep, 0, cover.shape[1] - deep)
    n = np.arange(len(cover))
    seen = sliding_window_view(cover, deep, axis=1)[n, first].swapaxes(1, 2)[:, ::-1]  # (N, deep, P)
    alpha = seen * (MIRROR * glossy)[:, None, None].astype(np.float32)
    columns = sliding_window_view(stage[:, :, edge:side], thing.patch, axis=3, writeable=True)
    at = (n, slice(None), slice(None), thing.column + pad)
    ground = columns[at]
    columns[at] = ground + (paint[:, :, None, None] - ground) * alpha[:, None]


def _sprites(canvas: np.ndarray, thing: Thing, side: int, pad: int, sprites: np.ndarray | None) -> None:
    if sprites is None:
        raise Refused(
            "A sticker needs the drawings as `sprites`, but none were given; give them or leave stickers out."
        )
    drawn = sprites[thing.sprite, thing.style].transpose(0, 3, 1, 2).astype(np.float32) / 255  # premultiplied
    P = drawn.shape[-1]
    row, column = (np.round(side * v).astype(int) - P // 2 + pad for v in (thing.y, thing.x))
    windows, at = _place(canvas, P, row, column)
    windows[at] = windows[at] * (1 - drawn[:, 3:]) + drawn[:, :3]


def _sign(canvas: np.ndarray, kind: Kind, scenes: Scenes, side: int, pad: int) -> None:
    """A plate at the foot of the picture, its characters in cells of 8 x 8 px; `slip` moves it off the grid."""
    n, font = size_of(scenes), glyphs()
    slip = scenes.get("slip", np.zeros(n, dtype=np.int64))
    top, wide = side - CELL - (side > 16) * 4, CELL * kind.letters
    left = (side - wide) // 2 // 4 * 4 + slip
    plate, ink = (rgb_of({"": c}, ("",))[[0] * n] for c in (PLATE, INK))
    for k in range(kind.letters):
        at = left + CELL * k + pad
        _over(canvas, np.ones((n, CELL, CELL), dtype=np.float32), plate, np.full(n, top + pad), at)
        cell = np.zeros((n, CELL, CELL), dtype=np.float32)
        cell[:, :7, 1:6] = font[scenes[f"letter_{k + 1}"]]
        _over(canvas, cell, ink, np.full(n, top + pad), at)


def _draw(kind: Kind, scenes: Scenes, side: int, sprites: np.ndarray | None) -> np.ndarray:
    n = size_of(scenes)
    colours = rgb_of(COLOUR_RGB, COLOURS)
    wall = rgb_of(BACKGROUND_RGB, BACKGROUNDS)[scenes["background"]][:, :, None, None]
    shown = kind.put(scenes)
    things = [_Set(t, scenes["light"], side) for t in shown]
    ends = [(v.min(), v.max() + t.patch) for t in things for v in (t.row, t.column)]
    pad = max([0, *(max(-low, high - side) for low, high in ends)])  # room around the stage for what sticks out of it
    canvas = np.broadcast_to(wall, (n, 3, side + 2 * pad, side + 2 * pad)).copy()
    stage = canvas[:, :, pad : pad + side, pad : pad + side]
    glossy = scenes.get("floor")
    if glossy is not None:
        tone = np.where(glossy == 1, GLOSS, MATT).astype(np.float32)[:, None, None, None]
        stage[:, :, round(HORIZON * side) :] *= tone
    for axis, parts in enumerate(kind.cells):
        for k in range(1, parts):
            line = slice(side * k // parts - side // 32, side * k // parts + max(1, side // 32))
            stage[(slice(None), slice(None), *((line,) if axis == 0 else (slice(None), line)))] *= SEAM
    for thing, patch in zip(shown, things):
        if glossy is not None and not thing.crumb:  # crumbs are too small to leave more than a smear
            _reflect(canvas[:, :, pad : pad + side], patch, colours[thing.colour], glossy, side)
    for thing, patch in zip(shown, things):
        windows, at = _place(canvas, patch.patch, patch.row + pad, patch.column + pad)
        windows[at] = blend(windows[at], patch.layers, colours[thing.colour])
        if thing.sprite is not None:
            _sprites(canvas, thing, side, pad, sprites)
    if kind.letters:
        _sign(canvas, kind, scenes, side, pad)
    return to_bytes(stage)


def draw(kind: Kind, scenes: Scenes, side: int, sprites: np.ndarray | None = None, block: int = 256) -> np.ndarray:
    """Return uint8 (N, S, S, 3) pictures of scenes of one kind (factor -> int64 (N,)); S is 16 or 32.

    sprites: uint8 (32, 6, P, P, 4), premultiplied, for stickers: SPRITES by SETS. Raises Refused for another side, for
    stickers without sprites, and for more characters than fit.
    """
    if side not in (16, 32):
        raise Refused(f"The side is {side!r}, but scenes are drawn at 16 or 32 pixels.")
    if kind.letters * CELL > side:
        raise Refused(
            f"A picture of {side} pixels holds {side // CELL} characters, but {kind.name!r} has {kind.letters}."
        )
    out = np.empty((size_of(scenes), side, side, 3), dtype=np.uint8)
    for start in range(0, len(out), block):
        part = slice(start, start + block)
        out[part] = _draw(kind, {f: v[part] for f, v in scenes.items()}, side, sprites)
    return out
