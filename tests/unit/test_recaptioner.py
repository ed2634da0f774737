"""A captioner that rewrites a collection: what it writes, of which picture it wrote it, and what is told then."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from falsework.core.artefacts import key_of
from falsework.core.errors import Refused
from falsework.core.vocabulary import BEGIN, END, PAD, SIGNS, Vocabulary
from falsework.nets.captioner import Captioner as Net
from falsework.objectives.caption import caption_loss
from falsework.recipes import description_of, listed, recaptioner
from falsework.recipes.captioner import Captioner
from falsework.recipes.listed import Listed
from falsework.recipes.pairs import Eye, as_tensor
from falsework.recipes.recaptioned import PRESETS as PAINTERS
from falsework.recipes.recaptioned import Recaptioned, Rewritten
from falsework.recipes.recaptioner import PRESETS as WRITERS
from falsework.recipes.recaptioner import Recaptioner, write
from falsework.recipes.worded import Worded
from falsework.training import Train, count_flops
from falsework.world.captions import load_scenes
from falsework.world.ladder import TEXTURE

torch.set_num_threads(1)
WORLD = load_scenes("energy")
N = len(WORLD)
WORDS = Vocabulary(tuple("abcdefghijkl"), 9)
SMOKE = WRITERS["smoke"]
PAINTER = PAINTERS["smoke"]


def shaken(net: nn.Module, seed: int, by: float = 1.0) -> Any:
    """Return a net that has opinions: every parameter off its start by a random number."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(by * torch.randn(p.shape, generator=dice))
    return net.eval()


def talker(seed: int) -> Any:
    """Return a tiny captioner that says something else of every picture; in float64, so that no two words are level."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Net(Eye("conv", 8).build(16), len(WORDS), WORDS.length, 8, 2, 2)
    net = shaken(net, seed).double()
    with torch.no_grad():
        for part in (net.head, net.trunk.norm, net.bridge):
            part.bias.zero_()  # no favourite words
        net.place *= 4
    return net


def looks(n: int, *keys: object) -> np.ndarray:
    """Return pictures float64 (n, 16, 16, 3)."""
    index = Listed().numbers(n, *keys)
    return Listed().pictures(index, *keys).astype(np.float64)


@torch.inference_mode()
def word_by_word(net: Any, pictures: np.ndarray, length: int) -> np.ndarray:
    """Return the likeliest words by asking for whole captions again and again: no cache, and one picture at a time."""
    out = []
    for picture in pictures:
        context = net.look(as_tensor(picture[None]))
        ids = torch.full((1, length), PAD)
        for t in range(length):
            logits = net.say(context, ids)[0, t]
            best = logits.topk(2).values
            assert best[0] - best[1] > 1e-6  # else either would do
            ids[0, t] = logits.argmax()
        out.append(ids[0].numpy())
    return np.stack(out)


# ---- writing


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_written_is_the_likeliest_word_each_time_given_all_that_was_written_before(seed):
    net, pictures = talker(seed), looks(12, "greedy", seed)
    found = write(net, WORDS, pictures)
    assert found.shape == (12, WORDS.length - 1) and found.dtype == np.int64
    assert np.array_equal(found, word_by_word(net, pictures, WORDS.length - 1))
    assert len({tuple(row) for row in found}) > 3 and len(np.unique(found)) > 5  # a dull writer would hide much


@pytest.mark.parametrize("block", [1, 3, 8, 12, 100])
def test_writing_in_blocks_is_writing_at_once(monkeypatch, block):
    net, pictures = talker(1), looks(12, "blocks")
    whole = write(net, WORDS, pictures)
    monkeypatch.setattr(recaptioner, "BLOCK", block)
    assert np.array_equal(write(net, WORDS, pictures), whole)
    turned = write(net, WORDS, np.ascontiguousarray(pictures[::-1]))
    assert np.array_equal(turned[::-1], whole)
    assert len({tuple(row) for row in whole}) > 3


def test_what_is_written_is_the_same_every_time():
    net, pictures = talker(2), looks(6, "again")
    assert np.array_equal(write(net, WORDS, pictures), write(net, WORDS, pictures))


def test_each_step_hears_the_words_that_are_new_and_counts_its_place_from_the_beginning():
    """What the trunk is fed, step by step: BEGIN and then every word once, each at its own place."""
    net, fed = talker(0), []
    net.trunk.register_forward_pre_hook(lambda module, given: fed.append(given[0]))
    found = torch.from_numpy(write(net, WORDS, looks(5, "fed")))
    assert len(fed) == WORDS.length - 1
    before = torch.cat([torch.full((5, 1), BEGIN), found[:, :-1]], 1)
    with torch.inference_mode():
        for t, x in enumerate(fed):
            assert x.shape[1] == 1 and torch.allclose(x[:, 0], net.word(before[:, t]) + net.place[t])


# ---- the table


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Recaptioner, Any, Any]:
    """A recaptioner, its network when it has written, and what that cost; it says something else of every picture."""
    recipe = replace(SMOKE, train=Train(2, 4, lr=1e-9, muon=0.0))
    model = shaken(recipe.build(3), 5, 0.7)
    return recipe, model, recipe.fit(model, 3, tmp_path_factory.mktemp("writing"))


def test_the_table_has_a_caption_of_known_words_for_every_scene(written):
    recipe, model, _ = written
    words = recipe.pairs.vocabulary
    assert model.written.shape == (N, words.length - 1) and not model.training
    captions = recipe.captions(model)
    assert len(captions) == N and all(isinstance(c, str) for c in captions[:50])
    for caption, ids in list(zip(captions, model.written.tolist()))[::311]:
        ids = ids[: ids.index(END)] if END in ids else ids
        assert caption.split() == [words.words[k - len(SIGNS)] for k in ids if k >= len(SIGNS)]
        assert words.padded([caption]).shape == (1, words.length)  # it can be told to a net
    assert len(set(captions)) > 100


@pytest.mark.parametrize("block", [0, 1, 29, 63])
def test_what_stands_at_a_scene_was_written_of_that_scene(written, block):
    recipe, model, _ = written
    rows = np.arange(512 * block, 512 * (block + 1))
    ids = write(model, recipe.pairs.vocabulary, recipe.looks(rows, 3))
    found = model.written[rows].numpy()
    assert np.array_equal(found, ids)
    assert (found != np.roll(found, 1, 0)).any(1).mean() > 0.3  # a table that has slipped by one would be another


def test_the_look_that_is_written_about_is_the_scene_under_a_texture_of_its_own(written):
    recipe = written[0]
    one, other = (
        recipe.looks(np.arange(i, i + 64), 3) - WORLD.unit[i : i + 64].reshape(64, 16, 16, 3) for i in (0, 64)
    )
    for texture in (one, other):
        assert texture.std() == pytest.approx(TEXTURE, rel=0.02)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.03  # no block repeats another's
    again, seeds = recipe.looks(np.arange(64), 3), recipe.looks(np.arange(64), 4)
    assert np.array_equal(again, recipe.looks(np.arange(64), 3)) and not np.allclose(again, seeds, atol=0.01)


def test_its_bill_is_that_of_learning_and_of_writing_all_scenes_once(written):
    recipe, model, found = written
    learning = count_flops(model, caption_loss(0.0), recipe.pairs.batch(4, 3, "batch", 0))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        write(model, recipe.pairs.vocabulary, recipe.looks(np.arange(64), 3))
    writing = counter.get_total_flops() * N / 64
    assert writing > 10 * learning
    assert found.flops_per_step * recipe.train.steps == pytest.approx(learning * 2 + writing, rel=1e-6)


def test_who_has_not_written_yet_says_nothing_and_learns_as_a_captioner_does():
    model, plain = SMOKE.build(0), Captioner(SMOKE.pairs, SMOKE.eye, 16, 1, 2).build(0)
    assert set(SMOKE.captions(model)) == {""}
    theirs = dict(plain.named_parameters())
    assert theirs.keys() == dict(model.named_parameters()).keys()
    assert all(torch.equal(p, theirs[name]) for name, p in model.named_parameters())
    assert set(model.state_dict()) - set(plain.state_dict()) == {"written"}  # what was written is kept with the net


# ---- a collection that was rewritten


NEW = tuple(f"scene {i}" for i in range(N))


def test_the_share_of_rewritten_captions_is_exact_and_each_is_its_own_scenes():
    for own in (0.0, 0.5, 0.95, 1.0):
        pairs = Rewritten(own=own, right=0.5, written=NEW)
        for step in range(6):
            index = pairs.numbers(20, "share", step)
            captions = pairs.say(index, "share", step)
            new = [caption.startswith("scene") for caption in captions]
            assert sum(new) == round(20 * own)
            assert all(caption == f"scene {i}" for caption, i, mine in zip(captions, index, new) if mine)


@pytest.mark.parametrize("plain", ["thing", "short", "ultra"])
def test_the_other_captions_are_the_old_ones(plain):
    pairs, old = Rewritten(plain=plain, own=0.4, right=0.5, written=NEW), Worded((plain,), right=0.5)
    for step in range(6):
        index = pairs.numbers(20, "old", step)
        told, before = pairs.say(index, "old", step), old.say(index, "old", step)
        assert [a == b for a, b in zip(told, before)].count(True) == 12
        assert all(a == b or a.startswith("scene") for a, b in zip(told, before))


def right_ones(pairs: Rewritten, steps: int, size: int = 20) -> tuple[int, int]:
    """Return how many old captions are told in so many batches, and how many of them state nothing false."""
    old = right = 0
    for step in range(steps):
        index = pairs.numbers(size, "as before", step)
        for caption, i in zip(pairs.say(index, "as before", step), index):
            if not caption.startswith("scene"):
                old += 1
                facts = WORLD.facts(caption)
                right += all(WORLD.factors[f][WORLD.scenes[f][i]] == value for f, value in facts.items())
    return old, right


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_the_others_are_right_as_often_as_before(share):
    old, right = right_ones(Rewritten(own=0.6, right=share, written=NEW), 150)
    assert old == 150 * 8
    assert abs(right / old - share) <= 4 * math.sqrt(share * (1 - share) / old)
    assert right_ones(Rewritten(own=0.0, right=share, written=NEW), 10) == (200, round(200 * share))


def test_scenes_and_pictures_are_the_same_whoever_wrote_their_captions():
    index, pictures, _ = Listed().draw(30, 0, "batch", 2)
    found = Rewritten(own=0.5, right=0.5, written=NEW).draw(30, 0, "batch", 2)
    assert np.array_equal(found[0], index) and np.array_equal(found[1], pictures)


# ---- a painter that is taught by it


@pytest.fixture
def holding() -> tuple[Any, tuple[str, ...]]:
    """A painter's network that holds a recaptioner which has written one word of each scene, and these captions."""
    words = PAINTER.recaptioner.pairs.vocabulary
    model = PAINTER.build(0)
    said = tuple(words.words[i % len(words.words)] for i in range(N))
    model.recaptioner.written[:, :2] = torch.from_numpy(words.padded(said))[:, :2]
    return model, said


def test_the_painter_is_told_what_the_recaptioner_wrote_and_a_few_old_captions(monkeypatch, tmp_path, holding):
    model, said = holding
    caught: dict = {}
    monkeypatch.setattr(listed, "fit", lambda model, loss, batches, *more, **rest: caught.update(at=batches))
    recipe = replace(PAINTER, silent=0.0, train=Train(20, 40))
    assert (recipe.pairs.own, recipe.pairs.right) == (0.95, 0.5)
    recipe.fit(model, 7, tmp_path)
    for step in (0, 13):
        index, pictures, _ = Listed().draw(40, 7, "batch", step)
        batch = caught["at"](step)
        assert torch.equal(batch["pictures"], as_tensor(pictures))
        captions = recipe.pairs.vocabulary.decode(batch["ids"].numpy())
        new = [caption == said[i] for caption, i in zip(captions, index)]
        assert sum(new) == 38
        others = Counter(len(WORLD.facts(c)) for c, mine in zip(captions, new) if not mine)
        assert others == {len(WORLD.named["short"]): 2}


def test_a_painter_keeps_its_recaptioner_as_it_was(tmp_path, holding):
    model, said = holding
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recipe = replace(PAINTER, train=Train(4, 8, lr=0.1, weight_decay=1.0, ema=0.5))
    recipe.fit(model, 0, tmp_path)
    for name, tensor in model.state_dict().items():
        if name.startswith("recaptioner."):
            assert torch.equal(before[name], tensor), name
    assert not any(p.requires_grad for p in model.recaptioner.parameters())
    moved = [name for name, p in model.net.named_parameters() if not torch.equal(before[f"net.{name}"], p)]
    assert len(moved) > 10
    assert PAINTER.recaptioner.captions(model.recaptioner) == said


def test_a_painter_that_is_built_from_weights_takes_its_recaptioner_with_it(holding):
    model, said = holding
    shaken(model, 1, 0.01)
    weights = dict(model.state_dict())
    again = PAINTER.build(1, weights)
    again.load_state_dict(weights)
    assert PAINTER.recaptioner.captions(again.recaptioner) == said
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.state_dict().items())
    theirs = {name: tensor for name, tensor in weights.items() if name.startswith("recaptioner.")}
    fresh = PAINTER.build(0, theirs)  # the parent alone, as when it is to be trained
    assert fresh.load_state_dict(theirs, strict=False).unexpected_keys == []
    assert fresh.skip.variances.std() > 0  # the skip is computed from pictures
    first = PAINTER.build(0)
    assert all(torch.equal(a, b) for a, b in zip(fresh.net.parameters(), first.net.parameters()))


def test_its_key_depends_on_how_long_the_recaptioner_learned():
    longer = replace(PAINTER.recaptioner, train=replace(PAINTER.recaptioner.train, steps=21))
    other = replace(PAINTER.recaptioner, pairs=Worded(right=0.5))
    recipes = [PAINTER, replace(PAINTER, recaptioner=longer), replace(PAINTER, recaptioner=other)]
    assert len({key_of(description_of(recipe, 0)) for recipe in recipes}) == 3
    assert len({description_of(recipe, 0)["parents"]["recaptioner"] for recipe in recipes}) == 3
    assert key_of(description_of(PAINTER, 0)) == key_of(description_of(replace(PAINTER), 0))
    assert key_of(description_of(PAINTER, 0)) != key_of(description_of(PAINTER, 1))


@pytest.mark.parametrize("pairs", [Worded(until=5), Worded(language="machine")])
def test_a_collection_that_cannot_be_rewritten_for_good_is_refused(pairs):
    with pytest.raises(Refused, match="rewritten in words"):
        Recaptioned(pairs=pairs)


def test_the_old_captions_of_a_rewritten_collection_are_of_its_own_world():
    pairs = Rewritten(small=True, own=0.0, right=0.5, plain="thing", written=("",) * 32768)
    said = pairs.say(pairs.numbers(40, "old"), "old")
    assert set(said) == {"a thing on a night background"}
