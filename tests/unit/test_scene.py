"""Scenes, their pictures and their captions: the grammar counts right, the renderer is a function of the scene alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from falsework.core.dataset import Dataset
from falsework.core.errors import Refused
from falsework.world.captions import (
    HUMAN_ORDER,
    LEVELS,
    level_codes,
    load_scenes,
    picture_of,
    pixel_words,
    visible_energy,
)
from falsework.world.render import CORNERS, STYLE, render, signed_distance, to_unit
from falsework.world.scene import BACKGROUNDS, COLOURS, EXACT, SHAPES, STYLES, Grammar


@pytest.fixture(scope="module")
def energy():
    return load_scenes("energy")


@pytest.fixture(scope="module")
def human():
    return load_scenes("human")


def test_numbers_and_scenes_are_inverse():
    index = np.array([0, 1, 777, len(EXACT) - 1])
    assert np.array_equal(EXACT.index(EXACT.scenes(index)), index)
    with pytest.raises(Refused, match="0 to 32767"):
        EXACT.scenes(np.array([len(EXACT)]))


def test_a_grammar_refuses_a_repeated_value_and_a_code_an_unknown_factor():
    with pytest.raises(Refused, match="different"):
        Grammar("bad", {"colour": ("red", "red")})
    with pytest.raises(Refused, match="did you mean 'colour'"):
        EXACT.code(EXACT.scenes(np.arange(3)), ("color",))


def test_a_picture_does_not_depend_on_its_batch(energy):
    index = np.random.default_rng(0).choice(len(EXACT), 60, replace=False)
    scenes = EXACT.scenes(index)
    assert np.array_equal(render(scenes, block=7), energy.pictures[index])
    assert np.array_equal(render(EXACT.scenes(index[:1])), energy.pictures[index[:1]])


def test_all_renders_differ(energy):
    assert len(np.unique(energy.pictures.reshape(len(energy), -1).view("V768"))) == len(EXACT) == 32768


def test_signed_distance_of_a_square_is_known():
    points = np.array([[0.0, 0.0], [0.9, 0.0], [1.9, 0.0], [1.9, 1.9]])
    expected = [-0.9, 0.0, 1.0, np.sqrt(2)]
    assert np.allclose(signed_distance(points, CORNERS["square"]), expected)


def test_the_larger_grammar_draws_every_shape_and_style_without_the_missing_factors():
    grammar = Grammar("wide", {"background": BACKGROUNDS, "colour": COLOURS, "shape": SHAPES, "style": STYLES}, side=32)
    assert set(SHAPES) == set(CORNERS) and set(STYLES) == set(STYLE)
    pictures = render(grammar.scenes(), grammar)
    assert pictures.shape == (len(grammar), 32, 32, 3)
    assert len(np.unique(pictures.reshape(len(pictures), -1).view("V3072"))) == len(grammar)


def test_a_colour_without_a_drawing_rule_is_refused():
    grammar = Grammar("odd", {**EXACT.factors, "colour": ("ultraviolet",)})
    with pytest.raises(Refused, match="ultraviolet"):
        render(grammar.scenes(np.arange(2)), grammar)


def test_unit_range_is_minus_one_to_one():
    assert to_unit(np.array([0, 255], dtype=np.uint8).reshape(1, 1, 2, 1)).tolist() == [[-1.0, 1.0]]


def test_energy_is_half_the_mean_squared_change(energy):
    """Against a direct draw of pairs that differ in one factor alone."""
    measured = visible_energy(energy.unit)
    draw, n = np.random.default_rng(1), 4000
    for factor in ("position", "nudge_x"):
        scenes = EXACT.scenes(draw.integers(len(EXACT), size=n))
        other = scenes | {factor: draw.integers(len(EXACT.factors[factor]), size=n)}
        change = energy.unit[EXACT.index(scenes)] - energy.unit[EXACT.index(other)]
        assert 0.5 * np.square(change).sum(1).mean() == pytest.approx(measured[factor], rel=0.06)


def test_the_energy_order_is_measured_and_the_human_order_is_not_it(energy, human):
    values = list(visible_energy(energy.unit).values())
    assert values == sorted(values, reverse=True)
    assert energy.order[0] == "background" and human.order == HUMAN_ORDER != energy.order
    assert sorted(energy.order) == sorted(human.order) == sorted(EXACT.factors)


def test_each_level_determines_the_one_before_and_both_orders_say_equally_many_bits(energy, human):
    for world in (energy, human):
        codes = list(world.codes.values())
        for short, long in pairwise(codes):
            assert len(np.unique(np.stack([short, long]), axis=1).T) == len(np.unique(long))
        assert [int(np.log2(len(np.unique(c)))) for c in codes] == [0, 2, 8, 10, 13, 14, 15]


@pytest.mark.parametrize("order", ["energy", "human"])
def test_codes_of_some_scenes_are_those_of_the_enumeration(order):
    index = np.array([0, 5, 30000])
    codes = level_codes(EXACT.scenes(index), order)
    assert list(codes) == list(LEVELS)
    assert all(np.array_equal(codes[k], load_scenes(order).codes[k][index]) for k in LEVELS)


@pytest.mark.parametrize("order", ["energy", "human"])
def test_equal_texts_are_equal_codes_at_every_level(order):
    world, index = load_scenes(order), np.random.default_rng(2).choice(len(EXACT), 1500, replace=False)
    assert set(world.captions(index, "none")) == {""}
    for level in LEVELS[1:]:
        texts = np.unique(world.captions(index, level), return_inverse=True)[1]
        codes = np.unique(world.codes[level][index], return_inverse=True)[1]
        pairs = np.unique(np.stack([texts, codes]), axis=1).shape[1]
        assert pairs == texts.max() + 1 == codes.max() + 1


def test_pixel_words_tell_all_renders_apart(energy):
    assert len(np.unique((energy.pictures >> 4).reshape(len(energy), -1).view("V768"))) == len(energy)
    assert len(energy.captions(np.array([5]), "pixel-words")[0].split()) == 256


def test_a_sentence_says_what_it_is_told_and_nothing_else(energy):
    say = energy.phrase.say
    assert say({"background": "wine"}) == "a thing on a wine background"
    assert say({"colour": "orange", "style": "striped", "shape": "cross"}) == "an orange striped cross"
    full = {f: v[0] for f, v in EXACT.factors.items()}
    assert say(full) == (
        "a small red filled circle in the upper left on a night background lit from the left a hair to the left a hair up"
    )


@pytest.mark.parametrize("order", ["energy", "human"])
def test_what_a_level_leaves_undescribed_is_what_counting_all_scenes_finds(order):
    world = load_scenes(order)
    total = np.log2(len(world))
    for level in LEVELS[:-1]:
        counts = np.unique(world.captions(np.arange(len(world)), level), return_counts=True)[1]
        left = (counts * np.log2(counts)).sum() / len(world)  # H(scene | caption), every scene alike
        said = sum(np.log2(len(world.factors[f])) for f in world.named[level])
        assert left == pytest.approx(total - said, abs=1e-9), level


@pytest.mark.parametrize("order", ["energy", "human"])
def test_every_level_is_read_back_and_said_again_alike(order):
    world, index = load_scenes(order), np.random.default_rng(3).choice(len(EXACT), 300, replace=False)
    for level in LEVELS[:-1]:
        for i, caption in zip(index, world.captions(index, level)):
            facts = world.facts(caption)
            assert facts == {f: world.factors[f][world.scenes[f][i]] for f in world.named[level]}
            assert (world.phrase.say(facts) if facts else "") == caption
    for i, words in zip(index[:20], world.captions(index[:20], LEVELS[-1])):
        picture = picture_of(words)
        assert pixel_words(picture) == words and np.abs(picture.astype(int) - world.pictures[i]).max() < 16
    for wrong in ("a red", "12g " * 256):
        with pytest.raises(Refused):
            (world.facts if wrong == "a red" else picture_of)(wrong)


def test_the_enumeration_is_a_dataset_without_hold_outs(energy):
    assert isinstance(energy, Dataset) and energy.levels[0] == "none"
    assert np.array_equal(energy.split("train"), energy.split("test")) and len(energy.split("val")) == len(energy)
    index = np.array([0, 9000])
    assert energy.images(index).shape == (2, 16, 16, 3) and energy.images(index).dtype == np.uint8
    assert energy.labels(index, "background").tolist() == [0, 1]
    for call in (lambda: energy.split("held out"), lambda: energy.captions(index, "long"), lambda: load_scenes("size")):
        with pytest.raises(Refused):
            call()
