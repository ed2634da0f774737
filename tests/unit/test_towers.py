"""Towers, contexts and captioners: who sees what, checked on nets with every weight drawn at random."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from falsework.core.errors import Refused
from falsework.core.vocabulary import BEGIN, END, PAD
from falsework.nets.captioner import Captioner
from falsework.nets.clip import CLIP
from falsework.nets.heads import Heads
from falsework.nets.towers import BagTower, ConvTower, PatchTower, TextTower, unit_range
from falsework.nets.trunk import CrossAttention, Trunk

torch.set_num_threads(1)
SIDE, V, T = 16, 11, 6


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(net: Any, seed: int = 0) -> Any:
    """Every weight drawn at random, so that no zero hides a leak."""
    gen = generator(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=gen) * 0.4)
    return net.eval()


def pictures(n: int = 2, seed: int = 1) -> Tensor:
    return torch.randint(256, (n, 3, SIDE, SIDE), generator=generator(seed), dtype=torch.uint8)


def patch_tower() -> PatchTower:
    return PatchTower(SIDE, 4, 16, 2, 2)


def some_ids(n: int = 2, seed: int = 2) -> Tensor:
    return torch.randint(END + 1, V, (n, T), generator=generator(seed))


def captioner(kind: type[Captioner] = Captioner) -> Captioner:
    return shaken(kind(patch_tower(), V, T + 2, 16, 2, 2))


# ---- image towers


@torch.no_grad()
def test_a_cell_of_the_stem_is_its_patch_and_place_alone_and_after_the_trunk_it_is_all_patches():
    tower, first = shaken(patch_tower()), pictures(1)
    for k in (0, 5, 15):
        row, column = divmod(k, 4)
        other = first.clone()
        other[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] ^= 255
        moved = (tower.stem(other) - tower.stem(first)).abs().amax((0, 2))
        assert moved[k] > 1e-3 and moved.sum() == moved[k]
        assert (tower(other) - tower(first)).abs().amax((0, 2)).min() > 1e-6
    flat = torch.zeros(1, 3, SIDE, SIDE)
    assert torch.equal(tower.stem(flat)[0], tower.patches.bias + tower.place)  # equal patches differ by place alone


@torch.no_grad()
@pytest.mark.parametrize("make", [patch_tower, lambda: ConvTower(SIDE, 8)])
def test_bytes_and_floats_are_the_same_picture_and_a_picture_does_not_feel_its_batch(make):
    tower, x = shaken(make()), pictures(3)
    assert unit_range(x).min() >= -1 and unit_range(x).max() <= 1
    assert torch.equal(tower(x), tower(x.float() / 127.5 - 1))
    assert torch.allclose(tower(x)[1:2], tower(x[1:2]), atol=1e-5)


@torch.no_grad()
def test_the_last_of_the_layers_is_what_the_tower_gives():
    patch, conv, x = shaken(patch_tower()), shaken(ConvTower(SIDE, 8)), pictures()
    layers = patch.layers(x)
    assert len(layers) == 3 and torch.equal(layers[0], patch.stem(x))
    assert torch.equal(patch.trunk.norm(layers[-1]), patch(x))
    (only,) = conv.layers(x)
    assert torch.equal(only, conv(x)) and only.shape == (2, 16, conv.channels)
    assert torch.equal(only[:, 7], conv.map(x)[:, :, 1, 3])  # cells in reading order


def test_pictures_of_another_size_and_patches_that_do_not_fit_are_refused():
    for tower in (patch_tower(), ConvTower(SIDE, 8)):
        with pytest.raises(Refused, match=r"pictures of shape \(1, 3, 32, 32\), but reads \(B, 3, 16, 16\)"):
            tower(torch.zeros(1, 3, 32, 32))
    with pytest.raises(Refused, match="The side is 16 with patches of 5, but must be a multiple of the patch"):
        PatchTower(SIDE, 5, 16, 1, 2)


# ---- caption towers


@torch.no_grad()
def test_a_caption_is_read_at_its_end_whatever_comes_after():
    tower, ids = shaken(TextTower(V, 2 * T, 16, 2, 2)), some_ids()
    ended = torch.cat([ids, torch.full((2, 1), END)], 1)
    alone = tower(ended)
    for after in (PAD, END, 5):
        assert torch.allclose(tower(torch.cat([ended, torch.full((2, 3), after)], 1)), alone, atol=1e-6)
    for t in range(T):  # every word before the end counts, and so does their order
        other = ended.clone()
        other[:, t] = (other[:, t] - END) % (V - END - 1) + END + 1
        assert (tower(other) - alone).abs().max(1).values.min() > 1e-4
    assert (tower(ended[:, [1, 0, *range(2, T + 1)]]) - alone).abs().max() > 1e-4


@torch.no_grad()
def test_a_bag_is_the_mean_of_its_words_whatever_their_order_and_signs_weigh_nothing():
    tower = shaken(BagTower(V, 8))
    ids = torch.tensor([[4, 7, 7, 9, END, PAD, PAD]])
    wanted = (tower.word.weight[4] + 2 * tower.word.weight[7] + tower.word.weight[9]) / 4
    assert torch.allclose(tower(ids)[0], wanted, atol=1e-6)
    assert torch.allclose(tower(ids[:, [3, 1, 0, 2, 4]]), tower(ids), atol=1e-6)
    assert torch.equal(tower(torch.tensor([[END, PAD]])), torch.zeros(1, 8))


# ---- CLIP and heads


@torch.no_grad()
def test_both_embeddings_have_length_one_and_the_scale_stops_at_a_hundred():
    net = shaken(CLIP(patch_tower(), TextTower(V, 2 * T, 16, 1, 2), 12))
    ended = torch.cat([some_ids(), torch.full((2, 1), END)], 1)
    for points in (net.embed_images(pictures()), net.embed_texts(ended)):
        assert torch.allclose(points.norm(dim=1), torch.ones(2)) and points.shape == (2, 12)
    assert CLIP(patch_tower(), BagTower(V, 8), 12).scale.item() == pytest.approx(1 / 0.07)
    for log_scale, scale in ((0.0, 1.0), (4.6, 99.4843), (4.7, 100.0), (50.0, 100.0)):
        net.log_scale.fill_(log_scale)
        assert net.scale.item() == pytest.approx(scale, rel=1e-5)


@torch.no_grad()
def test_heads_begin_even_and_read_the_mean_over_the_cells():
    net = Heads(patch_tower(), {"shape": 8, "colour": 3})
    assert all((logits == 0).all() for logits in net(pictures()).values())
    shaken(net)
    mean = net.norm(net.image(pictures()).mean(1))
    assert torch.equal(net(pictures())["colour"], mean @ net.heads["colour"].weight.T + net.heads["colour"].bias)


# ---- a context


def test_cross_attention_is_the_formula():
    net, gen = shaken(CrossAttention(4, 1)), generator(0)
    x, context = torch.randn(1, 3, 4, generator=gen), torch.randn(1, 5, 4, generator=gen)
    q, (k, v) = x @ net.q.weight.T, (context @ net.kv.weight.T).split(4, 2)
    wanted = (q @ k.transpose(1, 2) / 2).softmax(2) @ v @ net.out.weight.T  # 2 is the root of the head width
    assert torch.allclose(net(x, context), wanted, atol=1e-6)


@pytest.mark.parametrize("causal", [True, False])
def test_every_position_sees_all_of_the_context_and_causality_holds_beside_it(causal):
    trunk, gen = shaken(Trunk(8, 1, 2, context=True)), generator(0)
    x = torch.randn(1, 5, 8, generator=gen).requires_grad_()
    context = torch.randn(1, 7, 8, generator=gen).requires_grad_()
    out = trunk(x, causal, context=context)
    for t in range(5):
        to_x, to_context = torch.autograd.grad(out[0, t] @ torch.arange(8.0), (x, context), retain_graph=True)
        assert to_context[0].abs().amax(1).min() > 1e-8
        seen = to_x[0].abs().amax(1) > 0
        assert seen.tolist() == [not causal or s <= t for s in range(5)]


@torch.no_grad()
def test_a_changed_context_moves_every_position_and_an_unread_one_none():
    trunk, gen = shaken(Trunk(8, 2, 2, context=True)), generator(0)
    x, context = torch.randn(1, 5, 8, generator=gen), torch.randn(1, 7, 8, generator=gen)
    before = trunk(x, True, context=context)
    for m in range(7):
        other = context.clone()
        other[0, m, 0] += 3
        assert (trunk(x, True, context=other) - before)[0].abs().amax(1).min() > 1e-6
    assert torch.allclose(trunk(x, True, context=context[:, torch.randperm(7, generator=gen)]), before, atol=1e-5)


@torch.no_grad()
def test_a_trunk_without_a_context_is_the_one_it_was():
    torch.manual_seed(0)
    plain, x = Trunk(8, 2, 2), torch.randn(2, 5, 8, generator=generator(0))
    assert not any("cross" in name for name in plain.state_dict())
    able = Trunk(8, 2, 2, context=True)
    able.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(able(x, True), plain(x, True)) and torch.equal(able(x, False), plain(x, False))


@torch.no_grad()
def test_a_cached_step_beside_a_context_equals_the_full_forward():
    trunk, gen = shaken(Trunk(8, 2, 2, context=True)), generator(0)
    x, context = torch.randn(2, 5, 8, generator=gen), torch.randn(2, 7, 8, generator=gen)
    full, cache = trunk(x, True, context=context), trunk.new_cache(2, 5)
    steps = [trunk(x[:, t : t + 1], True, cache, context) for t in range(5)]
    assert torch.allclose(torch.cat(steps, 1), full, atol=1e-5)


# ---- captioners


@torch.no_grad()
def heard(net: Captioner, parallel: bool) -> list[list[bool]]:
    """Return T x T truths: does changing token s move row t of the logits by as much as a bit?"""
    ids, x = some_ids(), pictures()
    before, out = net(x, ids, parallel), []
    for s in range(T):
        other = ids.clone()
        other[:, s] = (other[:, s] - END) % (V - END - 1) + END + 1
        out.append((net(x, other, parallel) != before).flatten(2).any(2).any(0).tolist())
    return [list(row) for row in zip(*out)]


PAST = [[s < t for s in range(T)] for t in range(T)]  # row t guesses token t from those before it
NOTHING = [[False] * T] * T


class Unshifted(Captioner):
    """A planted bug: each row is given the word it is to guess."""

    def say(self, context_BMC: Tensor, ids_BT: Tensor, parallel: bool = False) -> Tensor:
        x_BTC = self.word(ids_BT) + self.place[: ids_BT.shape[1]]
        return self.head(self.trunk(x_BTC, causal=True, context=context_BMC))


class Unmasked(Captioner):
    """A planted bug: the causal square is left out."""

    def say(self, context_BMC: Tensor, ids_BT: Tensor, parallel: bool = False) -> Tensor:
        before_BT = torch.cat([torch.full_like(ids_BT[:, :1], BEGIN), ids_BT[:, :-1]], 1)
        x_BTC = self.word(before_BT) + self.place[: ids_BT.shape[1]]
        return self.head(self.trunk(x_BTC, causal=False, context=context_BMC))


def test_a_causal_row_hears_every_word_before_its_own_and_none_else():
    assert heard(captioner(), parallel=False) == PAST


def test_a_parallel_row_hears_no_word_at_all():
    assert heard(captioner(), parallel=True) == NOTHING


@pytest.mark.parametrize("planted", [Unshifted, Unmasked])
def test_a_planted_leak_is_found_by_the_same_look(planted):
    found = heard(captioner(planted), parallel=False)
    assert found != PAST and all(row[t] for t, row in enumerate(found[:-1]))  # rows hear what they guess
    assert heard(captioner(planted), parallel=True) != NOTHING


@torch.no_grad()
@pytest.mark.parametrize("parallel", [False, True])
def test_padding_moves_no_row_before_it(parallel):
    net, ids, x = captioner(), some_ids(), pictures()
    padded = torch.cat([ids, torch.full((2, 2), PAD)], 1)
    assert torch.allclose(net(x, padded, parallel)[:, :T], net(x, ids, parallel), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("parallel", [False, True])
def test_every_row_depends_on_the_picture_and_on_its_place_and_on_nothing_of_the_picture_but_the_context(parallel):
    net, ids, x = captioner(), some_ids(1), pictures(2)
    a, b = net(x[:1], ids, parallel), net(x[1:], ids, parallel)
    assert (a - b).abs().amax((0, 2)).min() > 1e-4
    assert (a[:, 1:] - a[:, :-1]).abs().amax((0, 2)).min() > 1e-4
    assert torch.equal(net.say(net.look(x[:1]), ids, parallel), a)


@torch.no_grad()
def test_an_untrained_captioner_guesses_nearly_evenly_and_the_same_for_every_picture():
    net = Captioner(patch_tower(), V, T, 64, 2, 2)
    logits = net(pictures(), some_ids())
    assert torch.equal(logits, net.head.bias.expand_as(logits))
    assert abs(-logits.log_softmax(-1).mean() - math.log(V)) < 0.01
