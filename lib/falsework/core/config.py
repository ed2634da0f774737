"""One way to configure: PRESET, SEEDS, OVERRIDES in a notebook, frozen dataclasses below; every wrong name is refused.

A recipe is a frozen dataclass whose fields are numbers, words, or other such dataclasses (its training settings, its
parent recipes). A dotted path names a field: "train.steps", "clip.train.steps".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_type_hints

from falsework.core.errors import Refused, one_of

PRESETS = ("smoke", "laptop", "overnight", "gpu")
R = TypeVar("R")


def check_preset(preset: object) -> str:
    """Return the preset's name; raises Refused naming the four that exist."""
    return one_of("PRESET", preset, PRESETS)


def check_seeds(seeds: object) -> tuple[int, ...]:
    """Return the seeds as a tuple; raises Refused unless they are a list of different whole numbers from 0 up."""
    if isinstance(seeds, str):
        raise Refused(
            f"SEEDS is the text {seeds!r}, but must be a list of whole numbers; with papermill write -y 'SEEDS: [0, 1]'."
        )
    given = list(seeds) if isinstance(seeds, list | tuple) else None
    if given is None or len(set(map(repr, given))) < len(given) or not all(type(s) is int and s >= 0 for s in given):
        raise Refused(
            f"SEEDS is {seeds!r}, but must be a list of different whole numbers from 0 up, such as [0, 1, 2]."
        )
    return tuple(given)


def check_parameters(namespace: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Refuse a parameter in small letters (`preset`) and any other ALL_CAPS name among a notebook's variables.

    papermill would only warn of an unknown parameter, and run without it.
    """
    for name, value in namespace.items():
        if name not in allowed and name.upper() in allowed and isinstance(value, str | int | float | list | dict):
            raise Refused(f"A parameter of this notebook is {name!r}, but must be {name.upper()!r}, in capitals.")
        plain = isinstance(value, str | int | float | list | dict) or value is None
        if name.isupper() and not name.startswith("_") and plain:
            one_of("A parameter of this notebook", name, allowed)


def replace_field(recipe: R, path: str, value: object, where: str = "the recipe") -> R:
    """Return `recipe` with one dotted field replaced; raises Refused for an unknown field or a value of another type."""
    head, _, rest = path.partition(".")
    fields = [f.name for f in dataclasses.fields(recipe)]  # type: ignore[arg-type]
    one_of(f"A field of {where}", head, fields)
    old = getattr(recipe, head)
    if rest:
        if not dataclasses.is_dataclass(old):
            raise Refused(f"The field {head!r} of {where} is a single value, but {path!r} asks for a part of it.")
        new: Any = replace_field(old, rest, value, f"{where}.{head}")
    else:
        kind = get_type_hints(type(recipe))[head]
        if dataclasses.is_dataclass(old):
            names = ", ".join(f.name for f in dataclasses.fields(old))
            raise Refused(f"{where}.{head} is a group of fields, but a single value was given; name one of {names}.")
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise Refused(f"{where}.{head} is {value!r}, but must be of type {kind.__name__}, like {old!r}.")
        new = value
    return dataclasses.replace(recipe, **{head: new})  # type: ignore[type-var]


def apply_overrides(arms: Mapping[str, Any], overrides: object) -> dict[str, Any]:
    """Return the arms' recipes with OVERRIDES applied, e.g. {"small.train.steps": 200}; the first word names the arm."""
    if not isinstance(overrides, Mapping):
        raise Refused(f"OVERRIDES is {overrides!r}, but must be a dict such as {{'small.train.steps': 200}}.")
    out = dict(arms)
    trained = [a for a, r in arms.items() if dataclasses.is_dataclass(r)]
    for path, value in overrides.items():
        arm, _, field = str(path).partition(".")
        one_of("An arm in OVERRIDES", arm, trained)
        if not field:
            raise Refused(f"OVERRIDES names the arm {arm!r} alone, but needs a field, such as '{arm}.train.steps'.")
        out[arm] = replace_field(out[arm], field, value, arm)
    return out


def describe(recipe: Any) -> dict[str, Any]:
    """Return a recipe as plain JSON values, its kind included: what its key is made of."""
    if dataclasses.is_dataclass(recipe):
        fields = {f.name: describe(getattr(recipe, f.name)) for f in dataclasses.fields(recipe)}
        return {"kind": type(recipe).__name__, **fields}
    return recipe
