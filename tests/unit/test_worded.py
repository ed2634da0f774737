"""Captions of one's choice: exact shares, exactly so many of them true, in which language, and until when."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from falsework.core.errors import Refused
from falsework.core.rng import rng
from falsework.core.vocabulary import PAD
from falsework.recipes import listed
from falsework.recipes.diffusion import Diffusion
from falsework.recipes.listed import Listed
from falsework.recipes.worded import NONE, PIXELS, Worded, entropy_told, exactly
from falsework.training import Train
from falsework.world.captions import LEVELS, load_scenes, picture_of
from falsework.world.codes import FIXED, LONGEST, count_of, small_world, symbols_of

torch.set_num_threads(1)
WORLD = load_scenes("energy")
CODED = LEVELS[: LEVELS.index(LONGEST) + 1]
MADE_UP = re.compile(r"([a-z])(\d+)")
TURNS = ("ultra", "short", "thing")
LANGUAGES = ("words", "machine", "random")


def named(caption: str) -> frozenset[str]:
    """Return the factors that a sentence names."""
    return frozenset(WORLD.facts(caption))


def false_things(caption: str, number: int) -> int:
    """Return how many of the things that a sentence states are not so in a scene."""
    return sum(WORLD.factors[f][WORLD.scenes[f][number]] != value for f, value in WORLD.facts(caption).items())


def told(pairs: Worded, size: int, *keys: object) -> tuple[np.ndarray, list[str]]:
    """Return the scenes of a draw and their captions."""
    index = pairs.numbers(size, *keys)
    return index, pairs.say(index, *keys)


# ---- shares


@pytest.mark.parametrize(
    ("size", "share", "whole"),
    [
        (100, 0.29, 29),
        (30, 0.1, 3),
        (10, 0.7, 7),
        (20, 0.95, 19),
        (20, 0.55, 11),
        (64, 0.25, 16),
        (64, 0.0, 0),
        (7, 1, 7),
    ],
)
def test_a_share_that_comes_out_even_is_met_in_every_draw(size, share, whole):
    for key in range(300):
        assert exactly(size, share, rng(key)).sum() == whole


@pytest.mark.parametrize(("size", "share"), [(10, 0.33), (7, 0.5), (3, 0.1), (32, 0.95), (1, 0.7)])
def test_another_share_is_met_to_within_one_and_right_on_average(size, share):
    counts = Counter(int(exactly(size, share, rng(key)).sum()) for key in range(3000))
    low = math.floor(size * share)
    assert set(counts) == {low, low + 1}
    rest = size * share - low  # how often there is one more
    assert counts[low + 1] / 3000 == pytest.approx(rest, abs=4 * math.sqrt(rest * (1 - rest) / 3000))


def test_who_is_in_the_share_is_drawn_evenly():
    often = sum(exactly(12, 0.25, rng(key)).astype(int) for key in range(4000))
    assert stats.chisquare(often).pvalue > 1e-4
    together = sum(np.outer(m, m).astype(int) for m in (exactly(12, 0.25, rng("two", key)) for key in range(4000)))
    pairs = together[np.triu_indices(12, 1)]
    assert pairs.min() > 0 and stats.chisquare(pairs).pvalue > 1e-4  # and so is who is in it with whom


@pytest.mark.parametrize("own", [0.0, 0.25, 0.5, 0.95, 1.0])
def test_of_every_batch_the_share_of_own_captions_is_exact_and_the_others_are_plain(own):
    pairs, size = Worded(own=own, plain="short"), 20
    for step in range(12):
        index, captions = told(pairs, size, "own", step)
        kinds = Counter(map(named, captions))
        assert kinds[frozenset(WORLD.named["ultra"])] == round(own * size)
        assert kinds[frozenset(WORLD.named["short"])] == size - round(own * size)
        assert not any(map(false_things, captions, index))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("plain", ["none", "thing", "short", "descriptive"])
def test_without_own_captions_all_are_the_plain_ones_in_words_whatever_else_is_asked(plain, language):
    index, captions = told(Worded(("ultra", "thing"), language=language, plain=plain, own=0.0), 24, "plain")
    assert captions == WORLD.captions(index, plain)


def test_of_several_levels_each_is_drawn_as_often_as_another():
    pairs, n = Worded(("none", *TURNS)), 6000
    captions = told(pairs, n, "levels")[1]
    counts = Counter(map(named, captions))
    assert set(counts) == {frozenset(WORLD.named[level]) for level in ("none", *TURNS)}
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


# ---- truth


@pytest.mark.parametrize("right", [0.0, 0.25, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("own", [0.0, 0.5, 1.0])
def test_the_share_of_right_captions_is_exact_and_each_of_the_others_says_something_false(right, own):
    pairs, size = Worded(("ultra", "thing"), own=own, right=right), 20
    for step in range(8):
        index, captions = told(pairs, size, "right", step)
        wrong = [false_things(caption, int(i)) for caption, i in zip(captions, index)]
        assert wrong.count(0) == round(right * size)
        assert all(map(named, captions))  # a false caption is no silence


@pytest.mark.parametrize("right", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("language", ["machine", "random"])
def test_the_share_of_right_codes_is_exact_too(language, right):
    pairs = Worded(language=language, right=right, small=True)
    for step in range(5):
        index, captions = told(pairs, 40, "codes", step)
        same = [caption == pairs.caption(int(i), LONGEST) for i, caption in zip(index, captions)]
        assert sum(same) == round(right * 40)
        every = {pairs.caption(int(i), LONGEST) for i in small_world()}
        assert set(captions) <= every  # a false one is another scene's


def test_a_false_caption_says_any_of_the_other_things_alike():
    pairs, off = Worded(("thing",), right=0.0), Counter()
    (factor,) = WORLD.named["thing"]
    values = WORLD.factors[factor]
    for step in range(400):
        index, captions = told(pairs, 16, "alike", step)
        for i, caption in zip(index, captions):
            off[(values.index(WORLD.facts(caption)[factor]) - int(WORLD.scenes[factor][i])) % len(values)] += 1
    assert set(off) == {1, 2, 3} and all(c / 6400 == pytest.approx(1 / 3, abs=0.035) for c in off.values())


def test_which_captions_are_false_has_nothing_to_do_with_which_are_own():
    pairs, table = Worded(own=0.5, right=0.5), np.zeros((2, 2))
    for step in range(300):
        index, captions = told(pairs, 16, "crossed", step)
        for i, caption in zip(index, captions):
            table[int("lit" in caption), int(false_things(caption, int(i)) == 0)] += 1
    assert table.sum(1).tolist() == table.sum(0).tolist() == [2400, 2400]
    assert abs(table[0, 0] - 1200) < 4 * math.sqrt(300 * 16 / 15)  # hypergeometric in every batch


def test_false_captions_in_the_small_world_are_of_the_small_world():
    index, captions = told(Worded(small=True, right=0.0), 300, "small")
    wrong = [false_things(caption, int(i)) for caption, i in zip(captions, index)]
    assert min(wrong) > 0
    for factor in set(FIXED) & set(WORLD.named[LONGEST]):
        assert {WORLD.facts(caption)[factor] for caption in captions} == {WORLD.factors[factor][FIXED[factor]]}


# ---- pictures


def test_scenes_and_pictures_are_the_same_whatever_is_told_about_them():
    plain = Listed()
    others = [
        Worded(),
        Worded(("none",)),
        Worded(("thing", "pixel-words"), own=0.3),
        Worded(plain="none", own=0.1, right=0.2),
        Worded(language="random"),
        Worded(TURNS, until=4),
        Worded(TURNS, until=4).at(2),
        Worded(TURNS, until=4).at(4),
    ]
    for step in range(3):
        index, pictures, _ = plain.draw(24, 0, "batch", step)
        for pairs in others:
            found = pairs.draw(24, 0, "batch", step)
            assert np.array_equal(found[0], index) and np.array_equal(found[1], pictures)
    whole = Worded(right=0.5).batch(24, 0, "batch", 1, silent=0.5)["pictures"]
    assert torch.equal(whole, plain.batch(24, 0, "batch", 1)["pictures"])


def test_in_the_small_world_only_what_is_fixed_there_is_changed():
    free, small = Listed().numbers(500, "small"), Worded(small=True).numbers(500, "small")
    for factor in WORLD.factors:
        values = WORLD.scenes[factor][small]
        assert (values == FIXED[factor]).all() if factor in FIXED else (values == WORLD.scenes[factor][free]).all()
    tongues = [Worded(language=language, small=True, right=0.3).numbers(500, "small") for language in LANGUAGES]
    assert all(np.array_equal(found, small) for found in tongues)


def test_the_small_world_has_1024_scenes_in_ten_bits_and_all_of_them_are_drawn():
    rows = small_world()
    assert len(set(rows.tolist())) == 1024
    assert len(np.unique(WORLD.pictures[rows].reshape(1024, -1), axis=0)) == 1024  # they look different, too
    free = [f for f in WORLD.factors if f not in FIXED]
    assert math.prod(len(WORLD.factors[f]) for f in free) == 1024
    for factor in WORLD.factors:
        counts = np.bincount(WORLD.scenes[factor][rows])
        assert counts.tolist() == ([1024] if factor in FIXED else [1024 // len(counts)] * len(counts))
    index = Worded(small=True).numbers(20_000, "all")
    assert set(index.tolist()) == set(rows.tolist())
    assert stats.chisquare(np.bincount(np.searchsorted(rows, index))).pvalue > 1e-4
    said = {Worded(small=True).caption(int(i), LONGEST) for i in rows}
    assert len(said) == 1024 and entropy_told(Worded(small=True), LONGEST) == 10
    assert [entropy_told(Worded(small=True), level) for level in CODED] == [0, 0, 6, 8, 10]
    assert [entropy_told(Worded(), level) for level in CODED] == [0, 2, 8, 10, 13]


# ---- a curriculum


def taught(pairs: Worded, step: int) -> str:
    """Return the one level that is taught at a step."""
    (level,) = pairs.at(step).levels
    return level


@pytest.mark.parametrize("until", [3, 12, 300])
def test_a_curriculum_takes_its_levels_in_turn_in_equal_parts_and_then_falls_silent(until):
    pairs = Worded(TURNS, until=until)
    stages = [taught(pairs, step) for step in range(until + 40)]
    part = until // 3
    assert stages == [level for level in TURNS for _ in range(part)] + [NONE] * 40
    assert taught(pairs, 10**9) == NONE


@pytest.mark.parametrize("until", [1, 2, 7, 100, 1000])
def test_parts_that_do_not_come_out_even_differ_by_one_step_at_most(until):
    stages = [taught(Worded(TURNS, until=until), step) for step in range(until + 1)]
    assert stages[-1] == NONE and NONE not in stages[:-1]
    order = [LEVELS.index(level) for level in stages]
    assert order == sorted(order, reverse=True)  # from long to short, never back
    counts = [stages.count(level) for level in TURNS]
    assert max(counts) - min(counts) <= 1


def test_what_the_net_is_shown_has_words_at_every_step_before_the_end_and_none_from_there_on(monkeypatch, tmp_path):
    caught: dict = {}
    monkeypatch.setattr(listed, "fit", lambda model, loss, batches, *more, **rest: caught.update(at=batches))
    pairs = Worded(TURNS, until=9)
    recipe = Diffusion(pairs, 8, 16, 1, 2, silent=0.0, train=Train(15, 12))
    recipe.fit(torch.nn.Linear(1, 1), 3, tmp_path)
    for step in range(15):
        ids = caught["at"](step)["ids"]
        index = pairs.numbers(12, 3, "batch", step)
        level = [*TURNS, NONE][min(step // 3, 3)]
        assert pairs.vocabulary.decode(ids.numpy()) == WORLD.captions(index, level)
        assert bool((ids == PAD).all()) == (step >= 9)


def test_a_share_of_plain_captions_stays_through_the_curriculum_and_ends_with_it():
    pairs = Worded(("ultra", "thing"), plain="short", own=0.25, right=0.5, until=8)
    for step in range(8):
        index, captions = told(pairs.at(step), 16, step)
        kinds = Counter(map(named, captions))
        assert kinds[frozenset(WORLD.named["ultra" if step < 4 else "thing"])] == 4
        assert kinds[frozenset(WORLD.named["short"])] == 12
        assert sum(false_things(c, int(i)) == 0 for c, i in zip(captions, index)) == 8
    for step in (8, 9, 1000):
        assert told(pairs.at(step), 16, step)[1] == [""] * 16


def test_a_curriculum_of_zero_steps_is_none_and_never_ends():
    pairs = Worded(TURNS)
    assert all(pairs.at(step) == pairs for step in (0, 1, 10**9))
    assert all(Listed().at(step) == Listed() for step in (0, 10**9))
    assert {len(named(c)) for c in told(pairs.at(10**9), 100, "never")[1]} == {7, 4, 1}


def test_the_vocabulary_is_the_same_at_every_stage():
    for pairs in (
        Worded(("pixel-words", "short"), until=4),
        Worded(TURNS, language="machine", small=True, until=6),
        Worded(TURNS, until=3),
    ):
        for step in range(pairs.until + 2):
            assert pairs.at(step).vocabulary == pairs.vocabulary
            ids = pairs.at(step).batch(3, step)["ids"]
            assert ids.shape == (3, pairs.vocabulary.length)


# ---- languages


@pytest.mark.parametrize("language", ["machine", "random"])
def test_own_captions_are_made_up_words_and_plain_ones_are_sentences(language):
    pairs = Worded(("ultra", "short"), language=language, own=0.5, small=True)
    table, lengths = symbols_of(language, True), set()
    for step in range(5):
        index, captions = told(pairs, 20, "tongue", step)
        made = [all(map(MADE_UP.fullmatch, caption.split())) for caption in captions]
        assert sum(made) == 10
        for i, caption, own in zip(index.tolist(), captions, made):
            if not own:
                assert caption == WORLD.captions(np.array([i]), "short")[0]
                continue
            said = [MADE_UP.fullmatch(word) for word in caption.split()]
            lengths.add(len(said))
            assert "".join(m[1] for m in said) == "abcdefg"[: len(said)]  # a word tells which symbol it is
            assert [int(m[2]) for m in said] == table[i, : len(said)].tolist()
    assert lengths == {count_of("ultra"), count_of("short")} == {7, 4}


@pytest.mark.parametrize("language", ["machine", "random"])
def test_a_shorter_caption_of_a_code_begins_a_longer_one(language):
    pairs = Worded(language=language, small=True)
    for number in small_world()[::97].tolist():
        said = [pairs.caption(number, level).split() for level in CODED]
        assert list(map(len, said)) == [count_of(level) for level in CODED] == [0, 1, 4, 5, 7]
        assert all(long[: len(short)] == short for short, long in pairwise(said))


def test_captions_in_words_are_those_of_the_ladder():
    pairs, index = Worded(), np.arange(0, len(WORLD), 1999)
    for level in LEVELS:
        assert [pairs.caption(int(i), level) for i in index] == WORLD.captions(index, level)


def test_captions_are_as_long_in_every_language_so_that_nets_cost_the_same():
    words, machine, random = (Worded(language=language, small=True).vocabulary for language in LANGUAGES)
    assert words.length == machine.length == random.length == Listed().vocabulary.length
    assert set(words.words) < set(machine.words) and set(words.words) < set(random.words)
    assert words == Listed().vocabulary
    for language, vocabulary in (("machine", machine), ("random", random)):
        pairs = Worded(language=language, small=True, own=0.5)
        captions = told(pairs, 400, "fits")[1]
        assert vocabulary.decode(vocabulary.padded(captions)) == captions
        every = {word for i in small_world().tolist() for word in pairs.caption(i, LONGEST).split()}
        assert every <= set(vocabulary.words)


# ---- pixels as words


def test_pixel_words_are_the_render_to_sixteen_steps_a_colour():
    pairs = Worded((PIXELS,))
    index, captions = told(pairs, 12, "pixels")
    for i, caption in zip(index.tolist(), captions):
        assert len(caption.split()) == 256
        assert np.array_equal(picture_of(caption), WORLD.pictures[i] & 0xF0)
    batch = pairs.batch(12, "pixels")
    assert pairs.vocabulary.decode(batch["ids"].numpy()) == captions
    assert batch["ids"].shape[1] == pairs.vocabulary.length == 257
    assert set(Listed().vocabulary.words) < set(pairs.vocabulary.words)  # sentences may be told beside them
    mixed = Worded((PIXELS,), own=0.5)
    assert Counter(len(c.split()) == 256 for c in told(mixed, 10, "mixed")[1]) == {True: 5, False: 5}


def test_false_pixel_words_are_another_picture():
    index, captions = told(Worded((PIXELS,), right=0.0), 20, "false pixels")
    assert not any(np.array_equal(picture_of(c), WORLD.pictures[i] & 0xF0) for i, c in zip(index, captions))


# ---- refusals


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"own": 1.1}, r"^The share own is 1\.1, but must lie between 0 and 1\.$"),
        ({"own": -0.1}, r"^The share own is -0\.1, but must lie between 0 and 1\.$"),
        ({"own": float("nan")}, r"^The share own is nan, but must lie between 0 and 1\.$"),
        ({"right": 1.5}, r"^The share right is 1\.5, but must lie between 0 and 1\.$"),
        ({"right": -1e-9}, r"^The share right is -1e-09, but must lie between 0 and 1\.$"),
        ({"right": float("nan")}, r"^The share right is nan, but must lie between 0 and 1\.$"),
        (
            {"levels": ("shrt",)},
            r"^The caption level is 'shrt', but must be one of 'none', .*\(did you mean 'short'\?\)\.$",
        ),
        (
            {"plain": "brief"},
            r"^The plain caption level is 'brief', but must be one of 'none', 'thing', .*'near-exact'\.$",
        ),
        ({"language": "machin"}, r"^The language is 'machin', but must be one of .*\(did you mean 'machine'\?\)\.$"),
        ({"levels": ()}, r"^The scenes got no caption level, but need one or more\.$"),
        ({"until": -1}, r"^The captions end at step -1, but must end at 0 or later; 0 is never\.$"),
        ({"language": "machine", "levels": ("near-exact",)}, r"^The caption level is 'near-exact', but .*'ultra'\.$"),
        ({"language": "machine", "levels": ("pixel-words",)}, r"^The caption level is 'pixel-words', but .*'ultra'\.$"),
        (
            {"language": "random", "levels": ("ultra", "near-exact")},
            r"^The caption level is 'near-exact', but .*'ultra'\.$",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(change, said):
    with pytest.raises(Refused, match=said) as why:
        Worded(**change)
    assert "\n" not in str(why.value)


def test_a_curriculum_that_is_longer_than_the_run_is_refused_and_one_as_long_is_not():
    with pytest.raises(Refused, match=r"^The captions end at step 200, but the run has 100 steps\.$"):
        Diffusion(Worded(until=200), train=Train(steps=100))
    assert Diffusion(Worded(until=100), train=Train(steps=100)).pairs.until == 100


def test_a_budget_of_no_steps_is_refused():
    with pytest.raises(Refused, match=r"^train\.steps is 0, but must be above 0\.$"):
        Diffusion(Worded(), train=Train(steps=0))


@pytest.mark.parametrize("level", ["near-exact", "pixel-words", "ulta"])
def test_the_bits_of_a_level_without_a_code_are_refused(level):
    with pytest.raises(Refused, match=rf"^The caption level is '{level}', but must be one of 'none', .*'ultra'"):
        entropy_told(Worded(), level)


@pytest.mark.parametrize(
    "fields",
    [
        {"texture": -1.0},
        {"texture": math.nan},
        {"loose": 0.5},
        {"tied": 2.0},
        {"tied": 0.5, "small": True},
        {"until": math.nan},
        {"plain": PIXELS},
    ],
)
def test_what_has_no_meaning_where_words_are_chosen_is_refused(fields):
    with pytest.raises(Refused):
        Worded(**fields)


def test_a_stage_that_says_nothing_keeps_its_plain_captions_and_the_end_does_not():
    pairs = Worded(("none", "short"), own=0.5, until=10)
    assert sum(bool(text) for text in told(pairs.at(0), 40, "stage")[1]) == 20
    assert not any(told(pairs.at(10), 40, "stage")[1])


@pytest.mark.parametrize("small", [False, True])
def test_a_name_says_in_one_word_what_a_random_code_says_in_seven(small):
    rows = small_world() if small else np.arange(len(WORLD))
    names, random = symbols_of("name", small)[rows, 0], symbols_of("random", small)[rows]
    assert (
        len(np.unique(names))
        == len(np.unique(random, axis=0))
        == len(np.unique(np.column_stack([names, random]), axis=0))
    )
    pairs = Worded(language="name", small=small)
    assert all(len(caption.split()) == 1 for caption in told(pairs, 50, "names")[1])
    assert entropy_told(pairs, LONGEST) == pytest.approx(entropy_told(Worded(small=small), LONGEST))
