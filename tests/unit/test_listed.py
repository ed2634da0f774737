"""The exact world to train on: whose captions are true, what goes with what, and what it takes for a sentence."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from falsework.core.errors import Refused
from falsework.core.vocabulary import END, PAD, Vocabulary
from falsework.noise import SPREAD, shrunk
from falsework.probes.reader import exact_read, features_of, read
from falsework.recipes import noisy_reader
from falsework.recipes.listed import NEVER_TOLD, TOLD, Listed, caption_of
from falsework.recipes.noisy_reader import PRESETS as READERS
from falsework.recipes.noisy_reader import NoisyReader
from falsework.recipes.pairs import as_tensor, shown
from falsework.training import Train
from falsework.world.captions import load_scenes
from falsework.world.ladder import TEXTURE

torch.set_num_threads(1)
WORLD = load_scenes("energy")
EVERY = WORLD.named[TOLD[-1]]
STRICT = Listed(loose=0.0)


def within(share: float, wanted: float, n: int) -> bool:
    """Whether a share of n draws may have come from this probability."""
    return abs(share - wanted) <= 4 * math.sqrt(wanted * (1 - wanted) / n) + 1e-12


def stated(captions: list[str], index: np.ndarray) -> list[set[str]]:
    """Return the factors that each caption names; fails when one is not as the scene has it."""
    out = []
    for caption, number in zip(captions, index):
        facts = WORLD.facts(caption)
        assert all(WORLD.factors[f][WORLD.scenes[f][number]] == value for f, value in facts.items()), (caption, number)
        out.append(set(facts))
    return out


# ---- draws


def test_a_draw_is_a_function_of_its_keys():
    pairs = Listed(tied=0.5)
    first, again, other = (pairs.draw(40, 0, "batch", step) for step in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other))
    assert np.array_equal(first[0], pairs.numbers(40, 0, "batch", 3))
    assert np.array_equal(first[1], pairs.pictures(first[0], 0, "batch", 3))
    assert first[2] == pairs.say(first[0], 0, "batch", 3)
    # the pictures do not depend on what is said of them, nor the captions on the texture
    other_words, smooth = Listed(("thing",), 0.1, 0.5), Listed(tied=0.5, texture=0.0)
    assert np.array_equal(other_words.draw(40, 0, "batch", 3)[1], first[1])
    assert smooth.draw(40, 0, "batch", 3)[2] == first[2]


def test_a_batch_is_its_draw_in_tensors_and_some_captions_are_left_out():
    pairs = Listed()
    _, pictures, captions = pairs.draw(400, "batch")
    batch, mute = pairs.batch(400, "batch"), pairs.batch(400, "batch", silent=0.35)
    assert torch.equal(batch["pictures"][7, 2, 3, 5], torch.tensor(pictures[7, 3, 5, 2]))  # blue of row 3, column 5
    assert torch.equal(batch["pictures"], mute["pictures"])
    assert pairs.vocabulary.decode(batch["ids"].numpy()) == captions
    silent = (mute["ids"] == PAD).all(1)
    assert within(silent.float().mean().item(), 0.35, 400)
    assert torch.equal(mute["ids"][~silent], batch["ids"][~silent])
    assert torch.equal(mute["ids"], pairs.batch(400, "batch", silent=0.35)["ids"])
    assert (pairs.batch(400, "batch", silent=1.0)["ids"] == PAD).all()
    assert ((batch["ids"] == END).sum(1) == 1).all() and batch["ids"].shape == (400, pairs.vocabulary.length)


@pytest.mark.parametrize("share", [0.1, 0.7])
def test_the_share_of_silence_is_the_one_asked_for(share):
    silent = [(STRICT.batch(500, step, silent=share)["ids"] == PAD).all(1).float().mean().item() for step in range(4)]
    assert within(float(np.mean(silent)), share, 2000)


def test_a_picture_is_its_scene_under_fresh_texture():
    pairs = Listed()
    index = pairs.numbers(300, "texture")
    renders = WORLD.unit[index].reshape(300, 16, 16, 3)
    one, other = (pairs.pictures(index, key) - renders for key in ("a", "b"))
    for texture in (one, other):
        assert texture.mean() == pytest.approx(0, abs=4 * TEXTURE / math.sqrt(texture.size))
        assert texture.std() == pytest.approx(TEXTURE, rel=0.01)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.01
    assert np.allclose(Listed(texture=0.0).pictures(index, "a"), renders, atol=1e-6)


def test_all_scenes_are_drawn_alike():
    index = Listed().numbers(60_000, "alike")
    for factor, values in WORLD.factors.items():
        counts = np.bincount(WORLD.labels(index, factor), minlength=len(values))
        assert stats.chisquare(counts).pvalue > 1e-4, factor


# ---- what goes with what


@pytest.mark.parametrize("tied", [0.0, 0.3, 0.95, 1.0])
def test_shape_and_wall_go_together_as_often_as_was_asked_and_a_quarter_of_the_rest_by_chance(tied):
    n, pairs = 30_000, Listed(tied=tied)
    for index in (pairs.numbers(n, "tied"), STRICT.numbers(n, "tied", tied=tied)):
        shape, wall = WORLD.labels(index, "shape"), WORLD.labels(index, "background")
        assert within(float((shape == wall).mean()), tied + (1 - tied) / 4, n)
        for other in ("shape", "background", "colour", "position"):  # nothing else has moved
            assert stats.chisquare(np.bincount(WORLD.labels(index, other))).pvalue > 1e-4
        loose = shape != wall
        if tied < 1:  # where they differ they differ evenly
            assert stats.chisquare(np.bincount((wall - shape)[loose] % 4)[1:]).pvalue > 1e-4
    again = pairs.numbers(n, "tied", tied=0.0)
    assert np.array_equal(again, STRICT.numbers(n, "tied"))  # the share that is asked for goes before the recipe's


def test_tying_changes_the_wall_alone_and_only_where_it_did_not_fit():
    free, bound = STRICT.numbers(2000, "same"), STRICT.numbers(2000, "same", tied=0.6)
    for factor in WORLD.factors:
        if factor != "background":
            assert np.array_equal(WORLD.labels(free, factor), WORLD.labels(bound, factor))
    moved = free != bound
    wall, shape = (WORLD.labels(bound, f) for f in ("background", "shape"))
    assert (wall == shape)[moved].all() and 0.35 < moved.mean() < 0.55


# ---- what captions say


def test_the_longest_caption_names_all_but_one_factor_and_that_one_never():
    assert set(WORLD.factors) - set(EVERY) == {NEVER_TOLD}
    for pairs in (Listed(), Listed(loose=1.0), STRICT):
        index = pairs.numbers(1500, "said")
        assert NEVER_TOLD not in set().union(*stated(pairs.say(index, "said"), index))


def test_strict_captions_are_those_of_the_levels_each_as_often_as_another():
    n = 5000
    index = STRICT.numbers(n, "levels")
    captions = STRICT.say(index, "levels")
    named = [frozenset(facts) for facts in stated(captions, index)]
    count = Counter(named)
    assert set(count) == {frozenset(WORLD.named[level]) for level in TOLD}
    assert all(within(c / n, 1 / len(TOLD), n) for c in count.values())
    for level in ("thing", "ultra"):
        alone = Listed((level,), 0.0).say(index[:200], "levels")
        assert alone == WORLD.captions(index[:200], level)


def test_loosened_captions_name_one_factor_or_any_number_of_them_and_each_factor_alike():
    pairs, n = Listed(loose=1.0), 8000
    index = pairs.numbers(n, "loose")
    named = stated(pairs.say(index, "loose"), index)
    many, F = Counter(map(len, named)), len(EVERY)
    assert within(many[1] / n, 0.5 + 0.5 / F, n)
    assert all(within(many[k] / n, 0.5 / F, n) for k in range(2, F + 1)) and sum(many.values()) == n
    alone = Counter(next(iter(facts)) for facts in named if len(facts) == 1)
    assert all(within(alone[f] / many[1], 1 / F, many[1]) for f in EVERY)
    pairs_of = Counter(frozenset(facts) for facts in named if len(facts) == 2)
    assert len(pairs_of) == F * (F - 1) // 2  # every two of them


def test_the_share_of_loose_captions_is_the_one_asked_for():
    n, ladder = 6000, {frozenset(WORLD.named[level]) for level in TOLD}
    index = STRICT.numbers(n, "share")
    found = [frozenset(facts) for facts in stated(Listed(loose=0.4).say(index, "share"), index)]
    freely = [frozenset(facts) for facts in stated(Listed(loose=1.0).say(index, "free"), index)]
    strange = np.mean([facts not in ladder for facts in freely])  # some loose captions name what a level does
    assert np.mean([facts not in ladder for facts in found]) == pytest.approx(0.4 * strange, abs=0.03)


def test_a_caption_names_what_it_is_asked_for_in_the_order_of_the_sentence():
    number = int(WORLD.grammar.index({f: np.array([0]) for f in WORLD.factors})[0])
    assert caption_of(WORLD, number, ("shape", "colour")) == caption_of(WORLD, number, ("colour", "shape"))
    assert caption_of(WORLD, number, ("shape", "colour")) == "a red circle"
    assert caption_of(WORLD, number, ("light",)) == "a thing lit from the left"
    assert caption_of(WORLD, number, ()) == ""


# ---- words


def test_every_caption_fits_the_vocabulary_and_comes_back_from_it():
    pairs = Listed(loose=0.7)
    index = pairs.numbers(3000, "words")
    captions = [*pairs.say(index, "words"), *WORLD.captions(index[:300], TOLD[-1]), "a thing", ""]
    ids = pairs.vocabulary.padded(captions)
    assert pairs.vocabulary.decode(ids) == captions
    assert (ids[:, -1] != PAD).sum() == sum(len(c.split()) + 1 == pairs.vocabulary.length for c in captions) > 0
    used = set(" ".join(captions).split())
    assert used == set(pairs.vocabulary.words)  # no word that is never said
    assert pairs.vocabulary == Listed(("thing",), 0.0, 0.9).vocabulary


def test_padded_is_encode_filled_up_whatever_stands_beside_it():
    words = Vocabulary(("a", "blue", "red", "thing"), 5)
    captions = ["a red thing", "", "a thing", "a red blue thing"]
    ids = words.padded(captions)
    assert ids.tolist() == [[3, 5, 6, END, PAD], [PAD] * 5, [3, 6, END, PAD, PAD], [3, 5, 4, 6, END]]
    for k, caption in enumerate(captions):
        assert np.array_equal(words.padded([caption])[0], ids[k])
        if caption:
            assert np.array_equal(words.encode([caption])[0], ids[k][: len(caption.split()) + 1])
    assert words.padded([]).shape == (0, 5) and words.padded(["", ""]).tolist() == [[PAD] * 5] * 2
    with pytest.raises(Refused, match=r"^The word 'rad' of 'a rad thing' is not among the 4 known words; .* 'red'\.$"):
        words.padded(["", "a rad thing"])
    with pytest.raises(Refused, match=r"^The caption has 5 words, but at most 4 fit: 'a a a a a'\.$"):
        words.padded(["a a a a a"])


def test_a_caption_of_blanks_alone_is_silent_too():
    words = Vocabulary(("a", "thing"), 4)
    assert np.array_equal(words.padded(["  "]), words.padded([""]))


# ---- the nearest sentence


def test_the_nearest_sentence_is_none_for_whatever_training_says():
    pairs = Listed(loose=0.6)
    index = pairs.numbers(1500, "near")
    assert {pairs.nearest(caption) for caption in pairs.say(index, "near")} == {None}
    assert pairs.nearest("") is None  # silence is trained too
    single = {WORLD.phrase.say({f: v}) for f in EVERY for v in WORLD.factors[f]}
    assert {pairs.nearest(caption) for caption in single} == {None}


@pytest.mark.parametrize(
    ("caption", "near"),
    [
        ("red circle", "a red circle"),
        ("a circle red", "a red circle"),
        ("an red circle", "a red circle"),
        ("thing upper right and large", "a large thing in the upper right"),
        ("a photo of an orange cross", "an orange cross"),
        ("a red circle a hair to the right", "a red circle"),  # true or not, it was never said in training
        ("wine background", "a thing on a wine background"),
        ("striped striped square", "a striped square"),
        ("a square above", "a square"),
        ("right", "a thing"),  # of what: a place, a light, a nudge?
        ("dog", "a thing"),
    ],
)
def test_another_phrasing_is_given_the_training_sentence_that_states_what_it_names(caption, near):
    assert STRICT.nearest(caption) == near
    assert STRICT.nearest(near) is None


def test_whatever_words_are_thrown_together_the_nearest_sentence_states_no_more_than_they_do():
    words, draw = STRICT.vocabulary.words, np.random.default_rng(0)
    for _ in range(400):
        caption = " ".join(draw.choice(words, draw.integers(1, 8)))
        near = STRICT.nearest(caption)
        if near is None:
            assert set(WORLD.facts(caption)) <= set(EVERY)
            continue
        assert STRICT.nearest(near) is None and near != caption
        for factor, value in WORLD.facts(near).items():
            assert factor in EVERY and f" {value} " in f" {caption} "


def test_a_light_that_is_named_in_other_words_is_not_lost():
    assert STRICT.nearest("red circle lit from the left") == "a red circle lit from the left"


# ---- refusals


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"levels": ("short", "brief")}, r"^The caption level is 'brief', but must be one of 'thing', 'short'"),
        ({"levels": ("none",)}, r"^The caption level is 'none', but must be one of"),
        ({"levels": ("pixel-words",)}, r"^The caption level is 'pixel-words', but must be one of"),
        ({"levels": ()}, r"^The scenes got no caption level, but need one or more\.$"),
        ({"loose": 1.1}, r"^The share loose is 1\.1, but must lie between 0 and 1\.$"),
        ({"tied": -0.5}, r"^The share tied is -0\.5, but must lie between 0 and 1\.$"),
        ({"tied": float("nan")}, r"^The share tied is nan, but must lie between 0 and 1\.$"),
    ],
)
def test_what_cannot_be_is_refused(change, said):
    with pytest.raises(Refused, match=said):
        Listed(**change)


def test_pictures_are_bytes_or_floats_around_minus_one_to_one_and_nothing_else():
    floats = STRICT.draw(6, "shown")[1]
    assert shown(floats, 16) is floats and np.abs(floats).max() > 1  # texture goes beyond
    whole = WORLD.images(np.arange(6))
    assert shown(whole, 16) is whole
    assert shown(np.empty((0, 16, 16, 3), np.float32), 16).shape == (0, 16, 16, 3)
    broken = floats.copy()
    broken[0, 0, 0, 0] = np.nan
    for wrong, kind in (
        (whole.astype(np.float32), "float32"),  # 0 to 255
        (floats.astype(np.float64), "float64"),
        (whole.astype(np.int64), "int64"),
        (broken, "float32"),
        (floats[:, :8], "float32"),
        (floats[0], "float32"),
    ):
        given = rf"{kind} {np.array2string(np.array(wrong.shape), separator=', ')[1:-1]}"
        with pytest.raises(
            Refused, match=rf"^The pictures are {kind} .*, but must be uint8 .* or float32 around"
        ) as why:
            shown(wrong, 16)
        assert given.split(" ", 1)[1].replace(" ", "") in str(why.value).replace(" ", "")


# ---- the reader of noisy pictures


def test_the_noisy_reader_is_taught_what_bayes_reads_there(monkeypatch, tmp_path):
    """Its batches are caught on their way: labels in the order of the factors, and pictures that show them."""
    caught = {}
    monkeypatch.setattr(noisy_reader, "fit", lambda model, loss, batches, *more, **rest: caught.update(at=batches))
    recipe = NoisyReader(low=0.0799, high=0.0801, width=8, hidden=32, train=Train(2, 48))
    recipe.fit(recipe.build(0), 0, tmp_path)
    batch, again, other = (caught["at"](step) for step in (0, 0, 1))
    assert torch.equal(batch["pictures"], again["pictures"]) and not torch.equal(batch["labels"], other["labels"])
    x_s = batch["pictures"].permute(0, 2, 3, 1).numpy() * np.float32(math.sqrt(0.08**2 + SPREAD))
    truth = exact_read(x_s, 0.08)
    assert recipe.factors == EVERY
    for column, factor in zip(batch["labels"].T.numpy(), recipe.factors):
        label, sure = truth[factor]
        assert (label == column).mean() >= sure.mean() - 0.1 and (label == column)[sure > 0.99].all(), factor


def test_noisy_pictures_are_shrunk_to_one_size_whatever_their_noise():
    pictures = as_tensor(STRICT.draw(64, "size")[1])
    for sigma in (0.06, 0.5, 2.0, 64.0):
        noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
        assert shrunk(
            pictures + sigma * noise, torch.full((64,), sigma)
        ).square().mean().sqrt().item() == pytest.approx(1, abs=0.05)


def test_a_readers_features_are_what_its_heads_read():
    recipe = READERS["smoke"]
    model = recipe.build(0).eval()
    with torch.no_grad():
        for p in model.heads.parameters():
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    pictures = STRICT.draw(20, "features")[1]
    features, found = features_of(model, pictures), read(model, pictures)
    assert features.shape == (20, recipe.hidden)
    for factor, head in model.heads.items():
        assert np.array_equal(head(torch.from_numpy(features)).argmax(1).numpy(), found[factor][0])
    with pytest.raises(Refused, match=r"^The pictures have shape \(20, 8, 16, 3\), but this reader needs"):
        features_of(model, pictures[:, :8])
