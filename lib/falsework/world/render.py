"""Scenes -> pictures: anti-aliased shapes with style, light and shadow on a flat background, in batches.

Every shape is a polygon and every edge comes from its signed distance, so one function draws eight shapes
and all styles. The work per picture is a blend: each different geometry is drawn once, then looked up.

Dimension key: N scenes, S side of the picture, G different geometries, V corners of a polygon, 3 colours.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from falsework.core.errors import Refused
from falsework.world.scene import EXACT, Grammar, Scenes

BACKGROUND_RGB = {"night": 0x1B2440, "wine": 0x6B2D45, "stone": 0x8FA0AB, "cream": 0xF8EEDA}
COLOUR_RGB = {
    "red": 0xE5383B,
    "orange": 0xF98A1B,
    "yellow": 0xFFD93D,
    "green": 0x3DAA57,
    "cyan": 0x35CDE0,
    "blue": 0x3566E0,
    "purple": 0x9B55D3,
    "pink": 0xFF9EC2,
}
RADIUS = {"small": 0.195, "large": 0.295}  # in sides of the picture: 3.1 and 4.7 px of 16
POSITION = {
    "upper left": (-1, -1),
    "upper right": (1, -1),
    "lower left": (-1, 1),
    "lower right": (1, 1),
    "middle": (0, 0),
}
REACH = 2.4 / 16  # distance of a position from the middle along each axis, in sides of the picture
TOWARDS = {"left": -1, "right": 1, "up": -1, "down": 1, "none": 0}
NUDGE_PX = 0.3
EDGE_PX = 1.3  # width of an outline
STRIPE_PX, GAP = 3.0, 0.25  # period of stripes and dots; opacity between them
SHADE, SHADOW = 0.28, 0.30  # how far the lit side goes to white, and the cast shadow to black


def _ring(n: int, radii: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """Return (n, 2) corners around a circle from the top, the radii taken in turn; y points down."""
    angle = 2 * np.pi * np.arange(n) / n - np.pi / 2
    return np.resize(radii, n)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _cross(reach: float, half: float) -> np.ndarray:
    arm = np.array([[-half, -half], [-half, -reach], [half, -reach]])  # the upper arm, then its quarter turns
    quarter = np.array([[0, 1], [-1, 0]])
    return np.concatenate([arm @ np.linalg.matrix_power(quarter, k) for k in range(4)])


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y - 2.5], axis=1) / 14.0


def _crescent() -> np.ndarray:
    outer, inner = np.deg2rad(np.linspace(55, 305, 28)), np.deg2rad(np.linspace(270, 90, 20))
    back = 1.1 * np.stack([np.cos(outer), np.sin(outer)], axis=1)
    bite = 0.82 * np.stack([np.cos(inner), np.sin(inner)], axis=1) + np.array([0.57, 0.0])
    return np.concatenate([back, bite]) + np.array([0.25, 0.0])


CORNERS = {  # polygons of nearly equal weight around (0, 0), scaled by the radius
    "circle": _ring(48),
    "square": 0.90 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]),
    "triangle": np.array([[0.0, -1.12], [1.18, 0.92], [-1.18, 0.92]]),
    "cross": _cross(1.10, 0.46),
    "diamond": _ring(4, (1.22,)),
    "star": _ring(10, (1.30, 0.56)),
    "heart": _heart(),
    "crescent": _crescent(),
}


def signed_distance(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return (M,) distances from points (M, 2) to a closed polygon (V, 2), in their unit.

    Negative inside, by the even-odd rule.
    """
    a, b = corners, np.roll(corners, -1, axis=0)
    edge, to = b - a, points[:, None, :] - a  # (V, 2), (M, V, 2)
    along = np.clip((to * edge).sum(-1) / (edge * edge).sum(-1), 0.0, 1.0)
    nearest = np.sqrt(((to - along[..., None] * edge) ** 2).sum(-1).min(1))
    below_a, below_b = a[:, 1] <= points[:, 1:], b[:, 1] <= points[:, 1:]  # (M, V)
    side = edge[:, 0] * to[..., 1] - edge[:, 1] * to[..., 0]
    crossings = ((below_a & ~below_b & (side > 0)) | (~below_a & below_b & (side < 0))).sum(1)
    return np.where(crossings % 2 == 1, -nearest, nearest)


def _fill(distance: np.ndarray) -> np.ndarray:
    """Return the share of a pixel that is covered, from the signed distance of its middle, in pixels."""
    return np.clip(0.5 - distance, 0.0, 1.0)


def _bands(at: np.ndarray) -> np.ndarray:
    """Return opacity in [GAP, 1]: a soft square wave of period STRIPE_PX, 1 at the middle of the object."""
    return GAP + (1 - GAP) * np.clip(0.5 + 1.2 * np.cos(2 * np.pi * at / STRIPE_PX), 0.0, 1.0)


# style -> how opaque the object is: (signed distance, x and y from its middle, all in pixels) -> [0, 1]
STYLE = {
    "filled": lambda d, x, y: _fill(d),
    "outlined": lambda d, x, y: _fill(d) - _fill(d + EDGE_PX),
    "striped": lambda d, x, y: _fill(d) * _bands(y),
    "soft": lambda d, x, y: 0.95 / (1.0 + np.exp(1.4 * (d + 0.4))),
    "dotted": lambda d, x, y: _fill(d) * np.minimum(_bands(x), _bands(y)),
    "framed": lambda d, x, y: _fill(d) * (0.45 + 0.55 * (1 - _fill(d + EDGE_PX))),
}


def rgb_of(table: dict[str, int], names: tuple[str, ...]) -> np.ndarray:
    """Return float32 (K, 3) in [0, 1]; raises Refused for a name the renderer has no colour for."""
    missing = [n for n in names if n not in table]
    if missing:
        raise Refused(f"The renderer has no colour for {missing[0]!r}, but draws {', '.join(table)}.")
    channels = [[table[n] >> shift & 255 for shift in (16, 8, 0)] for n in names]
    return np.array(channels, dtype=np.float32) / 255


@lru_cache(maxsize=8192)  # objects recur: the exact world has 512 of them, 2 kB each
def object_patch(
    shape: str, style: str, radius: float, middle: tuple[float, ...], side: int, scale: float
) -> np.ndarray:
    """Return (2, S, S): the opacity of one object in [0, 1], and -1 at its left edge to 1 at its right.

    scale: how many pixels an outline and a stripe take for each one they take in a picture of 16.
    """
    y, x = np.mgrid[0:side, 0:side] + 0.5
    x, y = x - middle[0], y - middle[1]
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    distance = signed_distance(points, radius * CORNERS[shape]).reshape(side, side)
    inside = _fill(distance) if scale > 1 else None  # edges stay one pixel soft at every size
    alpha = STYLE[style](distance / scale, x / scale, y / scale)
    alpha = alpha if inside is None or style == "soft" else np.minimum(alpha, inside)
    return np.stack([alpha, np.clip(x / radius, -1.0, 1.0)]).astype(np.float32)


NEUTRAL = {"size": "large", "position": "middle", "nudge_x": "none", "nudge_y": "none", "light": "none"}


def lit_layers(objects: np.ndarray, lit: int, drop: int) -> np.ndarray:
    """Return (G, 3, P, P) from objects (G, 2, P, P) lit from -1 (left) or 1 (right) or not at all (0).

    Three layers, back to front: how much of the ground shines through, less where the shadow falls, `drop` pixels down and
    as many away from the light; how much paint there is, less where it is toned; how much white, on the lit side.
    """
    alpha, across = objects.swapaxes(0, 1)
    side, left = alpha.shape[-1], (1 + lit) * drop
    cast = (
        np.pad(alpha, ((0, 0), (drop, 0), (drop, drop)))[:, :side, left : left + side] if lit else np.zeros_like(alpha)
    )
    tone = np.float32(SHADE) * np.float32(lit) * across
    ground = (1 - alpha) * (1 - np.float32(SHADOW) * cast)
    return np.stack([ground, alpha * (1 - np.abs(tone)), alpha * np.maximum(tone, 0)], axis=1)


def blend(ground: np.ndarray, layers: np.ndarray, paint: np.ndarray) -> np.ndarray:
    """Return (N, 3, P, P): lit layers (N, 3, P, P) in paint (N, 3) over a ground that broadcasts to that shape."""
    shine, cover, white = (layers[:, k, None] for k in range(3))
    out = ground * shine
    out += paint[:, :, None, None] * cover
    out += white
    return out


def to_bytes(pictures: np.ndarray) -> np.ndarray:
    """Return uint8 (N, S, S, 3) of (N, 3, S, S) in [0, 1]."""
    # half a step and a little more: no exact ties, so the last bit of a cosine cannot change a pixel
    return np.clip(pictures * np.float32(255) + np.float32(0.5001), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _draw(scenes: Scenes, grammar: Grammar) -> np.ndarray:
    """Draw one batch; a factor of NEUTRAL may be missing from the grammar and then has that value."""
    n, side = len(next(iter(scenes.values()))), grammar.side
    names = {f: (v,) for f, v in NEUTRAL.items()} | dict(grammar.factors)
    at = {f: np.zeros(n, dtype=np.int64) for f in NEUTRAL} | scenes

    solid = ("shape", "style", "size", "position", "nudge_x", "nudge_y")
    counts = [len(names[f]) for f in solid]
    keys, which = np.unique(np.ravel_multi_index([at[f] for f in solid], counts), return_inverse=True)
    objects = np.empty((len(keys), 2, side, side), dtype=np.float32)
    for g, values in enumerate(np.stack(np.unravel_index(keys, counts), axis=1)):
        shape, style, size, position, nx, ny = (names[f][v] for f, v in zip(solid, values))
        steps = zip(POSITION[position], (TOWARDS[nx], TOWARDS[ny]))
        middle = tuple(side / 2 + REACH * side * step + NUDGE_PX * nudge for step, nudge in steps)
        objects[g] = object_patch(shape, style, RADIUS[size] * side, middle, side, 1.0)

    lit = [TOWARDS[v] for v in names["light"]]
    layers = np.stack([lit_layers(objects, side, 1) for side in lit])[at["light"], which]
    ground = rgb_of(BACKGROUND_RGB, names["background"])[at["background"]][:, :, None, None]
    paint = rgb_of(COLOUR_RGB, names["colour"])[at["colour"]]
    return to_bytes(blend(ground, layers, paint))


def render(scenes: Scenes, grammar: Grammar = EXACT, block: int = 1024) -> np.ndarray:
    """Return uint8 (N, S, S, 3) pictures of scenes (factor -> int64 (N,)).

    A picture depends on its scene alone, never on the batch around it.
    Raises Refused for a colour the renderer does not have.
    """
    n = len(next(iter(scenes.values())))
    out = np.empty((n, grammar.side, grammar.side, 3), dtype=np.uint8)
    for start in range(0, n, block):
        part = slice(start, start + block)
        out[part] = _draw({f: v[part] for f, v in scenes.items()}, grammar)
    return out


def to_unit(pictures: np.ndarray) -> np.ndarray:
    """Return float32 (N, D) in [-1, 1] from uint8 (N, S, S, 3): the range every sigma of the course refers to."""
    return (pictures.reshape(len(pictures), -1).astype(np.float32) - 127.5) / np.float32(127.5)
