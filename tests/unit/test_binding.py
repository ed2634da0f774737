"""Twins and their swaps: only binding tells the two captions apart, and who cannot bind gets exactly one half."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from falsework.core.errors import Refused
from falsework.nets.captioner import Captioner
from falsework.nets.clip import CLIP
from falsework.nets.heads import Heads
from falsework.nets.towers import BagTower, PatchTower
from falsework.probes.binding import Swaps, binding_accuracy, preferences, swaps_of
from falsework.probes.candidates import by_captioner, by_clip, by_words
from falsework.recipes.pairs import Pairs, scenes_of
from falsework.world.kinds import RELATIONS, held_out
from falsework.world.scene import COLOURS, SHAPES
from falsework.world.scenes import SceneWorld
from falsework.world.stage import draw

torch.set_num_threads(1)
N = 24
WORLD = scenes_of("twins")
KIND = WORLD.kinds["twins"]


@pytest.fixture(scope="module", params=["colour", "style"])
def swaps(request) -> tuple[str, Swaps]:
    """Pairs whose captions say everything there is to say."""
    return request.param, swaps_of(WORLD, request.param, N, "ultra", "test", request.param)


def factors_of(captions: list[str]) -> dict[str, np.ndarray]:
    """Return factor -> int64 (N,) of captions that say every factor."""
    facts = [KIND.phrase.parse(caption) for caption in captions]
    return {f: np.array([v.index(said[f]) for said in facts]) for f, v in KIND.factors.items()}


def some(n: int = 4000) -> dict[str, np.ndarray]:
    index, _ = WORLD.draw(n, "train", "twins")
    return WORLD.scenes(index, KIND)


# ---- twins


def test_the_two_things_are_of_disjoint_families_of_shapes_and_of_one_size():
    first, second = KIND.put(some())
    assert set(first.shape) == set(range(4)) and set(second.shape) == set(range(4, 8))
    assert not set(KIND.factors["shape"]) & set(KIND.factors["shape_2"])
    assert KIND.factors["shape"] + KIND.factors["shape_2"] == SHAPES
    assert np.array_equal(first.radius, second.radius)


def test_no_place_tells_which_thing_is_named_first():
    scenes, n = some(), 4000
    first, second = KIND.put(scenes)
    beside = np.abs(first.x - second.x) > 1e-9
    for flat, a, b in ((beside, first.x, second.x), (~beside, first.y, second.y)):
        ahead = np.mean(a[flat] < b[flat])
        assert abs(ahead - 0.5) < 4 * 0.5 / np.sqrt(flat.sum()) and 0.4 * n < flat.sum() < 0.6 * n
    # and the two stand in the very same places, so that their mixture gives nothing away either
    places = [{(round(float(x), 9), round(float(y), 9)) for x, y in zip(t.x, t.y)} for t in (first, second)]
    assert places[0] == places[1] and len(places[0]) == 8
    apart = np.hypot(first.x - second.x, first.y - second.y)
    assert (apart > first.radius + second.radius).all()  # side by side, never one upon the other


def test_a_relation_is_where_it_says_and_every_factor_is_seen():
    scenes = some(600)
    first, second = KIND.put(scenes)
    signs = {"left of": first.x < second.x, "right of": first.x > second.x}
    signs |= {"above": first.y < second.y, "below": first.y > second.y}
    for k, name in enumerate(RELATIONS):
        assert signs[name][scenes["relation"] == k].all()
    shown = draw(KIND, scenes, 32)
    for factor, values in KIND.factors.items():
        other = scenes | {factor: (scenes[factor] + 1) % len(values)}
        assert (draw(KIND, other, 32) != shown).any((1, 2, 3)).mean() > 0.99, factor


def test_a_caption_is_read_back_and_at_the_last_but_one_level_it_is_the_picture():
    index = WORLD.draw(200, "train", "read back")[0]
    for level, said in WORLD.said["twins"].items():
        if level in ("none", "pixel-words"):
            continue
        for number, caption in zip(index, WORLD.captions(index, level)):
            facts = {f: KIND.factors[f][WORLD.labels(np.array([number]), f)[0]] for f in said}
            assert WORLD.facts(caption) == {"kind": "twins", **facts}
    told = factors_of(WORLD.captions(index, "near-exact"))
    assert np.array_equal(draw(KIND, told, 32), WORLD.images(index))


# ---- swaps


def test_the_two_captions_of_a_pair_are_the_same_words_in_another_order(swaps):
    _, pairs = swaps
    assert len(pairs.pictures) == len(pairs.captions) == 2 * N
    for own, other in pairs.captions:
        assert own != other and Counter(own.split()) == Counter(other.split())
    assert [row[::-1] for row in pairs.captions[:N]] == pairs.captions[N:]


def test_each_picture_is_what_its_own_caption_says_and_the_two_differ_in_the_swap_alone(swaps):
    attribute, pairs = swaps
    own = [row[0] for row in pairs.captions]
    assert np.array_equal(draw(KIND, factors_of(own), 32), pairs.pictures)  # drawn anew from its own words
    a, b = factors_of(own[:N]), factors_of(own[N:])
    for f in KIND.factors:
        there = {attribute: f"{attribute}_2", f"{attribute}_2": attribute}.get(f, f)
        assert np.array_equal(b[f], a[there]), f
    assert (a[attribute] != b[attribute]).all()
    assert (pairs.pictures[:N] != pairs.pictures[N:]).any((1, 2, 3)).all()


def test_neither_picture_was_seen_in_training_or_shows_what_is_held_out(swaps):
    _, pairs = swaps
    assert WORLD.on_side("test", pairs.pictures[:N]).all() and not WORLD.on_side("train", pairs.pictures).any()
    held = held_out(KIND, factors_of([row[0] for row in pairs.captions]))
    assert not any(found.any() for found in held.values())
    things = KIND.put(factors_of([row[0] for row in pairs.captions]))
    for shape, colour in (("star", "purple"), ("cross", "green")):
        assert not any(((t.shape == SHAPES.index(shape)) & (t.colour == COLOURS.index(colour))).any() for t in things)


def test_without_the_check_one_swap_in_sixteen_would_show_what_is_held_out():
    scenes = WORLD.scenes(WORLD.draw(600, "test", "near")[0], KIND)
    other = scenes | {"colour": scenes["colour_2"], "colour_2": scenes["colour"]}
    assert 0.03 < held_out(KIND, other)["combination"].mean() < 0.1


def test_the_first_caption_of_a_first_picture_is_the_worlds_own(monkeypatch):
    asked = []
    monkeypatch.setattr(
        WORLD, "captions", lambda index, level: asked.append(index) or SceneWorld.captions(WORLD, index, level)
    )
    pairs = swaps_of(WORLD, "colour", 5, "descriptive", "own")
    (index,) = asked
    assert [row[0] for row in pairs.captions[:5]] == SceneWorld.captions(WORLD, index, "descriptive")
    assert np.array_equal(pairs.pictures[:5], WORLD.images(index))
    assert not any(found.any() for found in WORLD.held(index).values())


def test_pairs_are_a_function_of_the_keys():
    first, again, other = (swaps_of(WORLD, "colour", 6, "short", "keys", k) for k in (0, 0, 1))
    assert first.captions == again.captions and np.array_equal(first.pictures, again.pictures)
    assert not np.array_equal(first.pictures, other.pictures) and first.captions != other.captions


def test_swaps_that_cannot_be_are_refused():
    with pytest.raises(Refused, match=r"^The attribute to swap is 'shape', but must be one of 'colour', 'style'"):
        swaps_of(WORLD, "shape", 3, "ultra", "x")  # their families are not the same
    with pytest.raises(Refused, match=r"'color', but must be one of 'colour', 'style', 'shape in place' \("):
        swaps_of(WORLD, "color", 3, "ultra", "x")
    with pytest.raises(
        Refused, match=r"^The caption level 'short' does not say style of both things, but a swap needs"
    ):
        swaps_of(WORLD, "style", 3, "short", "x")
    for level in ("none", "pixel-words", "shrot"):
        with pytest.raises(Refused, match=f"^The caption level is '{level}', but must be one of 'thing', 'short'"):
            swaps_of(WORLD, "colour", 3, level, "x")
    with pytest.raises(Refused, match="The attribute to swap is 'colour', but must be one of nothing"):
        swaps_of(scenes_of("cluttered"), "colour", 3, "ultra", "x")
    with pytest.raises(Refused, match=r"^The world shows \d+ kinds of scene, but a swap needs one of two things\.$"):
        swaps_of(SceneWorld("plain", 16), "colour", 3, "ultra", "x")


# ---- who binds


def looker(pictures: np.ndarray, candidates: list[list[str]]) -> np.ndarray:
    """A planted scorer that binds perfectly: it draws each caption and compares."""
    drawn = [draw(KIND, factors_of(row), 32).astype(float) for row in candidates]
    return np.array([-np.abs(d - picture).mean((1, 2, 3)) for d, picture in zip(drawn, pictures)])


def accuracy(score, pairs: Swaps) -> float:
    return binding_accuracy(preferences(score, pairs))


def test_who_binds_gets_all_who_binds_wrongly_none_and_who_likes_some_words_better_one_half(swaps):
    _, pairs = swaps
    assert accuracy(looker, pairs) == 1.0
    assert accuracy(lambda *given: -looker(*given), pairs) == 0.0
    same = Swaps(pairs.pictures, pairs.captions[:N] * 2)  # a planted bug: the second half has the captions of the first
    assert accuracy(looker, same) == 0.5

    def tastes(pictures: np.ndarray, candidates: list[list[str]]) -> np.ndarray:
        return np.array([[len(caption.partition("red")[0]) for caption in row] for row in candidates], float)

    assert (preferences(tastes, pairs) != 0).any() and accuracy(tastes, pairs) == 0.5


def test_ties_count_half_and_what_is_no_number_is_not_right():
    assert binding_accuracy(np.array([1.0, -1.0, 0.0, 5e-5])) == 0.5
    assert binding_accuracy(np.array([1.0, 2e-4, -5e-5])) == pytest.approx(2.5 / 3)
    assert binding_accuracy(np.array([np.nan, 1.0])) == 0.5


def shaken(net: nn.Module, seed: int = 0) -> nn.Module:
    """Every weight drawn at random: heads that start at zero would tie by themselves."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=gen) * 0.4)
    return net.eval()


def eye() -> PatchTower:
    return PatchTower(32, 8, 8, 1, 2)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_blind_captioner_is_right_on_exactly_half_whatever_it_likes(swaps, seed, parallel):
    words, pairs = Pairs("twins").vocabulary, swaps[1]
    net = shaken(Captioner(eye(), len(words), words.length, 8, 2, 2), seed)
    blind = preferences(by_captioner(net, words, 32, blind=True, parallel=parallel), pairs)
    assert np.abs(blind).min() > 1e-3  # it does like one better each time
    np.testing.assert_allclose(blind[:N], -blind[N:], atol=1e-5)
    assert binding_accuracy(blind) == 0.5
    seeing = preferences(by_captioner(net, words, 32, parallel=parallel), pairs)
    assert np.abs(seeing[:N] + seeing[N:]).max() > 1e-3  # with the picture the two halves are not mirror images


def test_an_untrained_captioner_has_no_favourite():
    words = Pairs("twins").vocabulary
    net = Captioner(eye(), len(words), words.length, 8, 2, 2).eval()
    pairs = swaps_of(WORLD, "colour", 4, "short", "untrained")
    assert accuracy(by_captioner(net, words, 32), pairs) == 0.5


def test_whoever_hears_a_bag_of_words_is_right_on_exactly_half(swaps):
    words, pairs = Pairs("twins").vocabulary, swaps[1]
    bag = by_words(shaken(Heads(eye(), {"words": len(words)})), words, 32)
    clip = by_clip(shaken(CLIP(eye(), BagTower(len(words), 8), 6)), words, 32)
    for score in (bag, clip):
        assert np.abs(preferences(score, pairs)).max() < 1e-4 and accuracy(score, pairs) == 0.5
        assert (
            np.ptp(score(pairs.pictures, [row[0] for row in pairs.captions[:4]])) > 1e-3
        )  # other words it tells apart


def test_shapes_change_places_under_looks_that_stay():
    swaps = swaps_of(WORLD, "shape in place", 40, "descriptive", "in place")
    for own, other in swaps.captions[:40]:
        a, b = WORLD.facts(own), WORLD.facts(other)
        assert (a["shape"], a["shape_2"]) == (b["shape"], b["shape_2"])
        for look in ("colour", "style"):  # the first thing now has the other's look, and stands where the other stood
            assert (a[look], a[f"{look}_2"]) == (b[f"{look}_2"], b[look])
        assert {a["relation"], b["relation"]} in ({"left of", "right of"}, {"above", "below"})
    a, b = swaps.pictures[:40].astype(int), swaps.pictures[40:].astype(int)
    corner = np.abs(a - b)[:, :2, :2].max(-1)
    assert (corner == 0).mean() > 0.9  # the ground stays as it was

    def looks_alone(pictures, candidates):  # knows which look is where, not whose it is: blind to this swap
        told = [[WORLD.facts(c) for c in row] for row in candidates]

        def first_place(f):
            left = f["relation"] in ("left of", "above")
            return f["colour" if left else "colour_2"], f["style" if left else "style_2"]

        return np.array([[float(first_place(f) == first_place(row[0])) for f in row] for row in told])

    assert binding_accuracy(preferences(looks_alone, swaps)) == 0.5
    assert binding_accuracy(preferences(looks_alone, swaps_of(WORLD, "colour", 40, "descriptive", "x"))) == 1.0
