"""The kinds of scene: what each has factors for, how it is said, and where its things stand.

    one        an object somewhere                         pair         a large object and a small one, with a relation
    group 3    three small objects, one corner empty       group 4      a small object in each corner
    sign 1-3   an object over one to three characters      sticker      a real drawing on a coloured badge
    matrix     2 x 2 cells: one attribute changes across,  collage      an object over itself, one attribute changed
               another down                                episode      two such pairs with the same change
    twins      two objects of one size, of two families of shapes: which is named first, no place and no size tells

A kind is data and one function. Every factor is drawn evenly and apart from the others, so the entropy of what is
said is a sum of logarithms. Things that could be named in two ways are not: of a pair the large one comes first, a
group is told in reading order.

Dimension key: N scenes, S side in pixels. Places and radii are in sides of the picture, y points down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from falsework.core.errors import one_of
from falsework.world.font import CHARACTERS
from falsework.world.phrase import Phrase
from falsework.world.scene import BACKGROUNDS, COLOURS, SHAPES, STYLES, Scenes

LAYOUTS = ("plain", "cluttered", "twins")
SIZES = ("small", "large")
PLACES = ("upper left", "upper right", "lower left", "lower right", "middle")
CORNERS_IN_ORDER = PLACES[:4]
RELATIONS = ("left of", "right of", "above", "below")
LANES = ("first", "second")
FLOORS = ("matt", "glossy")
LIGHTS = ("left", "right")
ATTRIBUTES = ("colour", "shape", "style")
STEPS = ("one", "two", "three", "four", "five")
NUDGE_X = ("left", "centred", "right")
NUDGE_Y = ("up", "level", "down")
SETS = ("twemoji", "noto", "noto blob", "fluent flat", "fluent 3d", "emojitwo")  # of the sprites, in this order
SPRITES = (  # all six sets draw them, and none of these drawings is held out
    *("dog face", "cat face", "lion", "penguin", "octopus", "butterfly", "snail", "turtle"),
    *("mushroom", "banana", "pineapple", "cherries", "carrot", "pizza", "doughnut", "hamburger"),
    *("house", "sailboat", "bicycle", "rocket", "umbrella", "crown", "guitar", "key"),
    *("bomb", "ghost", "rainbow", "cactus", "sunflower", "rose", "trophy", "balloon"),
)
CRUMBS = 6  # tiny things around the object of a cluttered scene, lit as it is; no sentence names them

# the level at which the human order first says a factor (0 would be "none"); numbered copies go with their first
SAID_AT = {
    **dict.fromkeys(("shape", "sprite"), 1),
    "colour": 2,
    **dict.fromkeys(("size", "style", "set", "relation", "change", "across", "down"), 3),
    **dict.fromkeys(("position", "column", "lane", "gap", "letter", "background", "floor", "light"), 4),
    **dict.fromkeys(("nudge_x", "nudge_y", "slip"), 5),
    **dict.fromkeys(("crumb_place", "crumb_shape", "crumb_colour", "crumb_style"), 6),
}


@dataclass(frozen=True)
class Thing:
    """One object in each of N pictures: positions in SHAPES, STYLES and COLOURS, and where it stands, in sides."""

    shape: np.ndarray
    style: np.ndarray
    colour: np.ndarray
    radius: np.ndarray
    x: np.ndarray
    y: np.ndarray
    sprite: np.ndarray | None = None  # a position in SPRITES: the badge behind it is the thing, `style` its set
    crumb: bool = False
    largest: float | None = None  # the largest radius that the thing may have, where it has several


Put = Callable[[Scenes], list[Thing]]


@dataclass(frozen=True)
class Kind:
    """One kind of scene. `cells` cuts the ground into rows x columns; `letters` counts its characters."""

    name: str
    factors: Mapping[str, tuple[str, ...]]
    pattern: str
    put: Put
    cells: tuple[int, int] = (1, 1)
    letters: int = 0
    weight: float = 1.0
    holds: Mapping[str, Callable[[Scenes], np.ndarray]] = field(default_factory=dict)  # held-out kind -> bool (N,)

    @cached_property
    def phrase(self) -> Phrase:
        """The sentence of this kind and its parser."""
        return Phrase(self.pattern, self.factors)

    @cached_property
    def human(self) -> tuple[str, ...]:
        """The factors in the human order: by the level that first says them."""
        return tuple(sorted(self.factors, key=said_at))


def said_at(factor: str) -> int:
    """Return the level, 1 to 6, at which the human order first says a factor; `colour_2` goes with `colour`."""
    return SAID_AT[factor] if factor in SAID_AT else SAID_AT[factor.rsplit("_", 1)[0]]


# ---- where things stand

_RADIUS = np.array([0.21, 0.31])
_RADIUS_AMID_CRUMBS = np.array([0.23, 0.31])
CRUMB_RADIUS = 0.11
_X = np.array([-1, 1, -1, 1, 0]) * 0.15 + 0.5
_Y = np.array([-1, -1, 1, 1, 0]) * 0.15 + 0.45  # a little high: below is the floor
_CORNER_X, _CORNER_Y = np.array([0.26, 0.74, 0.26, 0.74]), np.array([0.25, 0.25, 0.7, 0.7])
_NUDGE = np.arange(-1, 2) / 16  # a whole pixel at 16 px


def size_of(scenes: Scenes) -> int:
    """Return N, the number of scenes."""
    return len(next(iter(scenes.values())))


def _full(scenes: Scenes, value: float) -> np.ndarray:
    return np.full(size_of(scenes), value)


def _look(scenes: Scenes, end: str = "") -> dict[str, Any]:
    return {f: scenes[f"{f}{end}"] for f in ATTRIBUTES}


def _one(scenes: Scenes) -> list[Thing]:
    x, y = _X[scenes["position"]], _Y[scenes["position"]]
    return [Thing(**_look(scenes), radius=_RADIUS[scenes["size"]], x=x, y=y, largest=float(_RADIUS.max()))]


def _one_amid_crumbs(scenes: Scenes) -> list[Thing]:
    # further out than a lone object: no pixel may be sure to show it
    x = 0.5 + 1.4 * (_X[scenes["position"]] - 0.5) + _NUDGE[scenes["nudge_x"]]
    y = 0.45 + 1.4 * (_Y[scenes["position"]] - 0.45) + _NUDGE[scenes["nudge_y"]]
    crumbs = [_crumb(scenes, k + 1) for k in range(CRUMBS)]
    radius, largest = _RADIUS_AMID_CRUMBS[scenes["size"]], float(_RADIUS_AMID_CRUMBS.max())
    return [*crumbs, Thing(**_look(scenes), radius=radius, x=x, y=y, largest=largest)]


def _crumb(scenes: Scenes, k: int) -> Thing:
    look: dict[str, Any] = {f: scenes[f"crumb_{f}_{k}"] for f in ATTRIBUTES}
    row, column = ((v + 0.5) / 16 for v in divmod(scenes[f"crumb_place_{k}"], 16))
    return Thing(**look, radius=_full(scenes, CRUMB_RADIUS), x=column, y=row, crumb=True)


def _pair(scenes: Scenes) -> list[Thing]:
    relation, lane = scenes["relation"], scenes["lane"]
    side, across = np.array([-1, 1, -1, 1])[relation], np.array([0.42, 0.58])[lane]
    flat = relation < 2
    large, small = 0.5 + 0.2 * side, 0.5 - 0.28 * side
    up = -0.03  # clear of the floor
    return [
        Thing(
            **_look(scenes, end),
            radius=_full(scenes, radius),
            x=np.where(flat, along, across),
            y=np.where(flat, across, along) + up,
        )
        for end, radius, along in (("", 0.27, large), ("_2", 0.2, small))
    ]


def _twins(scenes: Scenes) -> list[Thing]:
    relation, lane = scenes["relation"], scenes["lane"]
    side, across = np.array([-1, 1, -1, 1])[relation], np.array([0.42, 0.58])[lane]
    first, second = 0.5 + 0.23 * side, 0.5 - 0.23 * side
    looks = _look(scenes), _look(scenes, "_2") | {"shape": scenes["shape_2"] + len(SHAPES) // 2}
    return [
        Thing(
            **look,
            radius=_full(scenes, 0.22),
            x=np.where(relation < 2, along, across),
            y=np.where(relation < 2, across, along) - 0.03,  # clear of the floor
        )
        for look, along in zip(looks, (first, second))
    ]


def _group(count: int) -> Put:
    def put(scenes: Scenes) -> list[Thing]:
        gap = scenes["gap"] if count == 3 else _full(scenes, 9)
        things = []
        for k in range(count):
            corner = (k + (k >= gap)).astype(int)
            look = _look(scenes, f"_{k + 1}" if k else "")
            things.append(Thing(**look, radius=_full(scenes, 0.2), x=_CORNER_X[corner], y=_CORNER_Y[corner]))
        return things

    return put


def _sign(scenes: Scenes) -> list[Thing]:
    x = np.array([0.3, 0.5, 0.7])[scenes["column"]]
    return [Thing(**_look(scenes), radius=_full(scenes, 0.19), x=x, y=_full(scenes, 0.26))]


def _sticker(scenes: Scenes) -> list[Thing]:
    disc, x, y = np.zeros_like(scenes["colour"]), _X[scenes["position"]], _Y[scenes["position"]] + 0.03
    return [Thing(disc, scenes["set"], scenes["colour"], _full(scenes, 0.36), x, y, scenes["sprite"])]


def _changed(look: dict[str, Any], attribute: np.ndarray, steps: np.ndarray) -> dict[str, Any]:
    """Return the look with one attribute moved on by 1 to 5 values, around the end of its list."""
    counts = (len(COLOURS), len(SHAPES), len(STYLES))
    return {f: np.where(attribute == a, (look[f] + steps + 1) % counts[a], look[f]) for a, f in enumerate(ATTRIBUTES)}


def _cell(scenes: Scenes, look: dict[str, Any], x: float, y: float, radius: float) -> Thing:
    radii, xs, ys = (_full(scenes, v) for v in (radius, x, y))
    return Thing(**look, radius=radii, x=xs, y=ys)


# a matrix changes one attribute across and another down: six ordered pairs
CHANGES = tuple(f"{a} across and {d} down" for a in ATTRIBUTES for d in ATTRIBUTES if a != d)
_ACROSS = np.array([a for a in range(3) for d in range(3) if a != d])
_DOWN = np.array([d for a in range(3) for d in range(3) if a != d])


def _matrix(scenes: Scenes) -> list[Thing]:
    first, change = _look(scenes), scenes["change"]
    right = _changed(first, _ACROSS[change], scenes["across"])
    below = _changed(first, _DOWN[change], scenes["down"])
    both = _changed(right, _DOWN[change], scenes["down"])
    at = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
    return [_cell(scenes, look, x, y, 0.165) for look, (x, y) in zip((first, right, below, both), at)]


def _collage(scenes: Scenes) -> list[Thing]:
    look = _look(scenes)
    changed = _changed(look, scenes["change"], scenes["across"])
    return [_cell(scenes, look, 0.5, 0.25, 0.19), _cell(scenes, changed, 0.5, 0.75, 0.19)]


def _episode(scenes: Scenes) -> list[Thing]:
    looks = _look(scenes), _look(scenes, "_2")
    return [
        _cell(scenes, look, x, y, 0.165)
        for y, first in zip((0.25, 0.75), looks)
        for x, look in ((0.25, first), (0.75, _changed(first, scenes["change"], scenes["across"])))
    ]


# ---- what is held out: each at most one scene in twenty

HELD_KINDS = ("combination", "binding", "relation", "string", "operation")
HELD_LOOKS = ((5, 6), (3, 3))  # purple stars, green crosses
HELD_BINDINGS = ((0, 5), (2, 7))  # large red with small blue, large yellow with small pink; the reverse is seen
HELD_RELATIONS = ((6, 2),)  # a large heart above something
HELD_STEPS = ((0, 4), (1, 3))  # colour by five, shape by four


def _any_of(pairs: tuple[tuple[int, int], ...], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.any([(a == p) & (b == q) for p, q in pairs], axis=0)


def _held_string(scenes: Scenes) -> np.ndarray:
    code = sum(scenes[f] * 37**k for k, f in enumerate(sorted(f for f in scenes if f.startswith("letter"))))
    return np.asarray((code * 7919) % 1009 < 40)  # 4 % of the strings, scattered


def _held_matrix(scenes: Scenes) -> np.ndarray:
    change = scenes["change"]
    across, down = (_any_of(HELD_STEPS, a[change], scenes[f]) for a, f in ((_ACROSS, "across"), (_DOWN, "down")))
    return across | down


def _held_change(scenes: Scenes) -> np.ndarray:
    return _any_of(HELD_STEPS, scenes["change"], scenes["across"])


def held_out(kind: Kind, scenes: Scenes) -> dict[str, np.ndarray]:
    """Return held-out kind -> bool (N,): which scenes show something that training never shows.

    combination: a shape in a colour; binding: which of a pair has which colour; relation: a shape that stands in a
    relation; string: the characters of a sign; operation: an attribute changed by a number of steps.
    """
    things = [t for t in kind.put(scenes) if t.sprite is None and not t.crumb]
    looks = [_any_of(HELD_LOOKS, t.shape, t.colour) for t in things] or [np.zeros(size_of(scenes), dtype=bool)]
    never = np.zeros(size_of(scenes), dtype=bool)
    return (
        {k: never for k in HELD_KINDS}
        | {"combination": np.any(looks, axis=0)}
        | {k: test(scenes) for k, test in kind.holds.items()}
    )


# ---- the kinds

_LOOK = {"shape": SHAPES, "colour": COLOURS, "style": STYLES}
_GROUND = {"background": BACKGROUNDS, "floor": FLOORS, "light": LIGHTS}
_WHERE = "[ on a {background} background][ over a {floor} floor][ lit from the {light}]"
_SHORT_WHERE = "[ on a {background} background][ lit from the {light}]"


def _thing(end: str = "", size: bool = False) -> str:
    return f"a {'[{size} ]' if size else ''}[{{colour{end}}} ][{{style{end}}} ]{{shape{end}|thing}}"


def _looks(*ends: str) -> dict[str, tuple[str, ...]]:
    return {f"{f}{end}": values for end in ends for f, values in _LOOK.items()}


def _signs(count: int, slips: bool) -> Kind:
    letters = {f"letter_{k + 1}": tuple(CHARACTERS) for k in range(count)}
    said = "".join(f" {{{f}|any}}" for f in letters)
    slip = {"slip": ("nothing", "one", "two", "three")} if slips else {}
    more = "[ shifted by {slip}]" if slips else ""
    return Kind(
        f"sign {count}",
        {
            **_LOOK,
            "column": ("left", "middle", "right"),
            **letters,
            "background": BACKGROUNDS,
            "light": LIGHTS,
            **slip,
        },
        f"{_thing()} over the sign{said}[ at the {{column}}]{_SHORT_WHERE}{more}",
        _sign,
        letters=count,
        weight=(0.08, 0.08, 0.06)[count - 1],
        holds={"string": _held_string} if count > 1 else {},
    )


def _one_kind(cluttered: bool) -> Kind:
    nudges = {"nudge_x": NUDGE_X, "nudge_y": NUDGE_Y} if cluttered else {}
    crumbs: dict[str, tuple[str, ...]] = {}
    for k in range(1, CRUMBS + 1 if cluttered else 1):
        crumbs[f"crumb_place_{k}"] = tuple(map(str, range(256)))
        crumbs |= {f"crumb_{f}_{k}": values for f, values in _LOOK.items()}
    more = "[ a hair {nudge_x}][ a hair {nudge_y}]" if cluttered else ""
    return Kind(
        "one",
        {**_LOOK, "size": SIZES, "position": PLACES, **_GROUND, **nudges, **crumbs},
        f"{_thing(size=True)}[ in the {{position}}]{_WHERE}{more}",
        _one_amid_crumbs if cluttered else _one,
        weight=0.4,
    )


def kinds_of(layout: str = "plain", slips: bool = False) -> dict[str, Kind]:
    """Return the kinds of a layout by name: all of "plain", or the one of "cluttered" or "twins".

    `slips` moves signs off the grid. Raises Refused for another layout.
    """
    if one_of("The layout", layout, LAYOUTS) == "cluttered":
        return {"one": _one_kind(True)}
    if layout == "twins":
        half = len(SHAPES) // 2
        looks = _looks("", "_2") | {"shape": SHAPES[:half], "shape_2": SHAPES[half:]}
        pattern = f"{_thing()} {{relation|with}} {_thing('_2')}[ in the {{lane}} lane]{_WHERE}"
        return {"twins": Kind("twins", {**looks, "relation": RELATIONS, "lane": LANES, **_GROUND}, pattern, _twins)}
    triple, four = ("", "_2", "_3"), ("", "_2", "_3", "_4")
    step = {"across": STEPS}
    changed = "[ with its {change} changed][ by {across}]"
    made = [
        _one_kind(False),
        Kind(
            "pair",
            {**_looks("", "_2"), "relation": RELATIONS, "lane": LANES, **_GROUND},
            f"{_thing()} {{relation|with}} {_thing('_2')}[ in the {{lane}} lane]{_WHERE}",
            _pair,
            weight=0.2,
            holds={
                "binding": lambda s: _any_of(HELD_BINDINGS, s["colour"], s["colour_2"]),
                "relation": lambda s: _any_of(HELD_RELATIONS, s["shape"], s["relation"]),
            },
        ),
        Kind(
            "group 3",
            {**_looks(*triple), "gap": CORNERS_IN_ORDER, **_GROUND},
            f"{' and '.join(map(_thing, triple))}[ with nothing in the {{gap}}]{_WHERE}",
            _group(3),
            weight=0.04,
        ),
        Kind(
            "group 4",
            {**_looks(*four), **_GROUND},
            f"{' and '.join(map(_thing, four))}{_WHERE}",
            _group(4),
            weight=0.04,
        ),
        *(_signs(count, slips) for count in (1, 2, 3)),
        Kind(
            "sticker",
            {"sprite": SPRITES, "set": SETS, "colour": COLOURS, "position": PLACES, **_GROUND},
            f"a sticker of a {{sprite|thing}}[ in {{set}} style][ on {{colour}}][ in the {{position}}]{_WHERE}",
            _sticker,
            weight=0.06,
        ),
        Kind(
            "matrix",
            {**_LOOK, "change": CHANGES, "across": STEPS, "down": STEPS, "background": BACKGROUNDS, "light": LIGHTS},
            f"four cells of {_thing()}[ changing {{change}}][ by {{across}} across][ by {{down}} down]{_SHORT_WHERE}",
            _matrix,
            cells=(2, 2),
            weight=0.01,
            holds={"operation": _held_matrix},
        ),
        Kind(
            "collage",
            {**_LOOK, "change": ATTRIBUTES, **step, "background": BACKGROUNDS, "light": LIGHTS},
            f"{_thing()} over itself{changed}{_SHORT_WHERE}",
            _collage,
            cells=(2, 1),
            weight=0.02,
            holds={"operation": _held_change},
        ),
        Kind(
            "episode",
            {**_looks("", "_2"), "change": ATTRIBUTES, **step, "background": BACKGROUNDS, "light": LIGHTS},
            f"{_thing()} and {_thing('_2')} each beside itself{changed}{_SHORT_WHERE}",
            _episode,
            cells=(2, 2),
            weight=0.01,
            holds={"operation": _held_change},
        ),
    ]
    return {kind.name: kind for kind in made}
