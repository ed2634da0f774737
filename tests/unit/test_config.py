"""Configuration: what a person may write in PRESET, SEEDS and OVERRIDES, and the sentence for all else."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falsework.core.artefacts import key_of
from falsework.core.config import (
    apply_overrides,
    check_parameters,
    check_preset,
    check_seeds,
    describe,
    replace_field,
)
from falsework.core.errors import Refused, one_of


@dataclass(frozen=True)
class Settings:
    steps: int = 100
    lr: float = 0.1


@dataclass(frozen=True)
class Parent:
    width: int = 8
    train: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Child:
    parent: Parent = field(default_factory=Parent)
    kind: str = "plain"
    wide: bool = False
    train: Settings = field(default_factory=Settings)


ARMS = {"child": Child(), "parent": Parent(), "chance": None}


def refused(call, *args: object) -> str:
    with pytest.raises(Refused) as raised:
        call(*args)
    text = str(raised.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 300
    return text


# ---- PRESET


@pytest.mark.parametrize("preset", ["smoke", "laptop", "overnight", "gpu"])
def test_the_four_presets_are_taken(preset):
    assert check_preset(preset) == preset


def test_an_unknown_preset_is_refused_naming_the_four_and_the_nearest():
    text = refused(check_preset, "labtop")
    assert text == (
        "PRESET is 'labtop', but must be one of 'smoke', 'laptop', 'overnight', 'gpu' (did you mean 'laptop'?)."
    )
    for wrong in (None, 3, ["smoke"], "", "Smoke "):
        assert "'smoke', 'laptop', 'overnight', 'gpu'" in refused(check_preset, wrong)


# ---- SEEDS


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 10**6), unique=True, max_size=6))
def test_different_whole_numbers_from_zero_up_are_taken_in_their_order(seeds):
    assert check_seeds(seeds) == tuple(seeds) == check_seeds(tuple(seeds))


def test_seeds_given_as_text_are_refused_with_the_papermill_cure():
    text = refused(check_seeds, "[0,1]")
    assert "SEEDS is the text '[0,1]'" in text and "-y 'SEEDS: [0, 1]'" in text


@pytest.mark.parametrize(
    "seeds", [[0, 0], [-1], [True], [0, True], [0.0], ["0"], [None], 3, None, {0, 1}, [[0]], [np.int64(1)]]
)
def test_other_seeds_are_refused_showing_what_was_given(seeds):
    text = refused(check_seeds, seeds)
    assert f"SEEDS is {seeds!r}, but must be a list of different whole numbers from 0 up" in text


# ---- any other ALL_CAPS name


def test_any_other_name_in_capitals_is_refused_with_the_nearest_one():
    namespace = {"PRESET": "smoke", "SEEDS": [0], "OVERRIDES": {}, "_PRIVATE": 1, "np": np, "Path": 3}
    check_parameters(namespace, ("PRESET", "SEEDS", "OVERRIDES"))
    text = refused(check_parameters, {**namespace, "SEED": [1]}, ("PRESET", "SEEDS", "OVERRIDES"))
    assert "A parameter of this notebook is 'SEED'" in text and "(did you mean 'SEEDS'?)" in text
    assert "'preset', but must be 'PRESET'" in refused(
        check_parameters, {**namespace, "preset": "smoke"}, ("PRESET", *namespace)
    )
    for value in ("x", 1, 0.5, None, [], {}):
        refused(check_parameters, {"STEPS": value}, ("PRESET",))
    check_parameters({"CLAIMS": ("C01",), "IGPT": Child, "PIXELS": np.zeros(3)}, ("PRESET",))  # imports and data


# ---- OVERRIDES


def test_an_override_reaches_its_field_and_no_other():
    out = apply_overrides(ARMS, {"child.parent.train.steps": 7, "child.wide": True, "parent.width": 16})
    assert out["child"] == Child(parent=Parent(train=Settings(steps=7)), wide=True)
    assert out["parent"] == Parent(width=16) and out["chance"] is None
    assert ARMS["child"] == Child() and apply_overrides(ARMS, {}) == ARMS


def test_a_whole_number_is_taken_for_a_decimal_one_and_becomes_one():
    out = apply_overrides(ARMS, {"parent.train.lr": 1})["parent"].train.lr
    assert out == 1.0 and type(out) is float


def _paths(recipe: object, head: str) -> list[tuple[str, object]]:
    out = []
    for f in fields(recipe):
        value = getattr(recipe, f.name)
        path = f"{head}.{f.name}"
        out += _paths(value, path) if is_dataclass(value) else [(path, value)]
    return out


@pytest.mark.parametrize(("path", "old"), _paths(Child(), "child"))
def test_every_field_overridden_changes_the_key(path, old):
    new = not old if isinstance(old, bool) else (old + "x" if isinstance(old, str) else old * 2)
    changed = apply_overrides(ARMS, {path: new})["child"]
    assert key_of(describe(changed)) != key_of(describe(Child()))
    assert key_of(describe(apply_overrides(ARMS, {path: old})["child"])) == key_of(describe(Child()))


def test_two_kinds_of_recipe_with_the_same_fields_have_different_keys():
    @dataclass(frozen=True)
    class Other:
        width: int = 8
        train: Settings = field(default_factory=Settings)

    assert key_of(describe(Other())) != key_of(describe(Parent()))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"chidl.wide": True}, ["An arm in OVERRIDES is 'chidl'", "'child', 'parent'", "did you mean 'child'?"]),
        ({"chance.width": 3}, ["An arm in OVERRIDES is 'chance'", "'child', 'parent'"]),
        ({"child.widht": 3}, ["A field of child is 'widht'", "did you mean 'wide'?"]),
        ({"child.parent.widht": 3}, ["A field of child.parent is 'widht'", "did you mean 'width'?"]),
        ({"child": Child()}, ["names the arm 'child' alone", "child.train.steps"]),
        ({"child.train": 3}, ["child.train is a group of fields", "name one of steps, lr"]),
        ({"child.train": Settings()}, ["child.train is a group of fields"]),
        ({"child.kind.steps": 3}, ["The field 'kind' of child is a single value"]),
        ({"child.train.steps": 2.0}, ["child.train.steps is 2.0, but must be of type int, like 100"]),
        ({"child.train.steps": "2"}, ["child.train.steps is '2', but must be of type int"]),
        ({"child.train.steps": True}, ["child.train.steps is True, but must be of type int"]),
        ({"child.train.lr": True}, ["child.train.lr is True, but must be of type float"]),
        ({"child.train.lr": None}, ["child.train.lr is None"]),
        ({"child.wide": 1}, ["child.wide is 1, but must be of type bool, like False"]),
        ({"child.kind": 1}, ["child.kind is 1, but must be of type str"]),
        ({3: 1}, ["An arm in OVERRIDES is '3'"]),
        ("child.wide=1", ["OVERRIDES is 'child.wide=1', but must be a dict such as {'small.train.steps': 200}"]),
        ([], ["OVERRIDES is [], but must be a dict"]),
    ],
)
def test_a_wrong_override_is_refused_in_one_sentence(overrides, words):
    text = refused(apply_overrides, ARMS, overrides)
    for word in words:
        assert word in text


def test_a_value_that_the_recipe_itself_refuses_is_refused_at_once():
    training = pytest.importorskip("falsework.training")
    with pytest.raises(Refused, match=r"train\.steps is 0, but must be above 0"):
        replace_field(training.Train(), "steps", 0)


def test_a_choice_among_nothing_says_so():
    assert refused(one_of, "An arm in OVERRIDES", "small", []) == (
        "An arm in OVERRIDES is 'small', but must be one of nothing."
    )
