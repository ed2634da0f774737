"""What CLIP, captioners and bags of words pay, worked out by hand; and who hears the gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.core.vocabulary import END, PAD, SIGNS
from falsework.nets.captioner import Captioner
from falsework.nets.clip import CLIP
from falsework.nets.towers import BagTower, PatchTower, TextTower
from falsework.objectives.bag_of_words import HEAD, bag_of_words
from falsework.objectives.caption import caption_loss
from falsework.objectives.contrast import contrast, info_nce

torch.set_num_threads(1)
SIDE, V, T = 16, 11, 6


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(net: nn.Module, seed: int = 0) -> nn.Module:
    """Every weight drawn at random, and in double precision."""
    gen = generator(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=gen) * 0.4)
    return net.double()


def batch_of(n: int = 4, seed: int = 1) -> dict[str, Tensor]:
    """Captions of 1 to 5 words, ended and padded, with float pictures."""
    gen = generator(seed)
    ids = torch.randint(END + 1, V, (n, T), generator=gen)
    for row, words in enumerate(torch.randint(1, T, (n,), generator=gen).tolist()):
        ids[row, words], ids[row, words + 1 :] = END, PAD
    return {"pictures": torch.rand(n, 3, SIDE, SIDE, generator=gen).double() * 2 - 1, "ids": ids}


def on_sphere(n: int, seed: int) -> Tensor:
    return nn.functional.normalize(torch.randn(n, 5, generator=generator(seed)).double(), dim=1)


# ---- contrast


def by_hand(images: np.ndarray, texts: np.ndarray, scale: float) -> tuple[float, np.ndarray, np.ndarray, float]:
    """Return the loss and its gradients to images, texts and scale, one softmax after another."""
    n = len(images)
    logits = scale * images @ texts.T
    rows = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)  # over captions, for each picture
    columns = np.exp(logits) / np.exp(logits).sum(0, keepdims=True)  # over pictures, for each caption
    loss = -(np.log(np.diag(rows)).mean() + np.log(np.diag(columns)).mean()) / 2
    slope = (rows + columns - 2 * np.eye(n)) / (2 * n)
    return loss, scale * slope @ texts, scale * slope.T @ images, (slope * (images @ texts.T)).sum()


def test_a_batch_of_two_pairs_costs_what_four_logarithms_say():
    images, texts = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    # logits at scale 2: [[1.2, 0], [1.6, 2]]; rows are ahead by 1.2 and .4, columns by -.4 and 2
    wanted = sum(math.log(1 + math.exp(-ahead)) for ahead in (1.2, 0.4, -0.4, 2.0)) / 4
    assert info_nce(images, texts, 2.0).item() == pytest.approx(wanted, abs=1e-6)
    assert wanted == pytest.approx(0.45406, abs=1e-5)


@pytest.mark.parametrize("n", [2, 3, 64])
def test_what_tells_nothing_apart_pays_the_logarithm_of_the_batch(n):
    one = on_sphere(1, 0).expand(n, -1)
    for scale in (0.0, 1.0, 14.3, 100.0):
        assert info_nce(one, on_sphere(1, 1).expand(n, -1), scale).item() == pytest.approx(math.log(n))
    assert info_nce(on_sphere(n, 0), on_sphere(n, 1), 0.0).item() == pytest.approx(math.log(n))


def test_what_tells_all_apart_pays_nothing_and_what_swaps_them_pays_the_scale():
    corners = torch.eye(4)
    assert info_nce(corners, corners, 100.0).item() < 1e-6
    assert info_nce(corners, corners[[1, 0, 3, 2]], 100.0).item() == pytest.approx(100.0)


def test_pictures_and_captions_are_treated_alike_and_the_order_of_the_pairs_is_nothing():
    images, texts, order = on_sphere(5, 0), on_sphere(5, 1), torch.tensor([3, 0, 4, 1, 2])
    loss = info_nce(images, texts, 3.0)
    assert torch.allclose(info_nce(texts, images, 3.0), loss)
    assert torch.allclose(info_nce(images[order], texts[order], 3.0), loss)
    assert not torch.allclose(info_nce(images[order], texts, 3.0), loss)


def test_loss_and_gradients_to_both_sides_and_to_the_scale_are_those_of_the_formula():
    images, texts = (on_sphere(3, seed).requires_grad_() for seed in (0, 1))
    scale = torch.tensor(2.5).double().requires_grad_()
    loss = info_nce(images, texts, scale)
    found = [loss, *torch.autograd.grad(loss, (images, texts, scale))]
    for value, wanted in zip(found, by_hand(images.detach().numpy(), texts.detach().numpy(), 2.5)):
        np.testing.assert_allclose(value.detach().numpy(), wanted, atol=1e-12)
    # a loss that looks one way only is another one
    one_way = nn.functional.cross_entropy(scale * images @ texts.T, torch.arange(3))
    assert abs(one_way - loss).item() > 1e-3


def two_towers(text: nn.Module) -> nn.Module:
    return shaken(CLIP(PatchTower(SIDE, 4, 8, 1, 2), text, 6))


@pytest.mark.parametrize("text", [TextTower(V, T, 8, 1, 2), BagTower(V, 8)])
def test_every_weight_of_both_towers_learns_as_finite_differences_say(text):
    net, batch = two_towers(text), batch_of()
    net.log_scale.data.fill_(1.0)

    def loss() -> Tensor:
        return contrast(net, batch, generator(0))[0]

    named = dict(net.named_parameters())
    grads = dict(zip(named, torch.autograd.grad(loss(), list(named.values()))))
    for name, p in named.items():
        at = grads[name].abs().argmax()
        assert grads[name].flatten()[at].abs() > 1e-9, name  # nobody is left out
        flat, step, sides = p.data.view(-1), 1e-5, []
        for sign in (1, -2):
            flat[at] += sign * step
            sides.append(loss().item())
        flat[at] += step
        slope = (sides[0] - sides[1]) / (2 * step)
        assert grads[name].flatten()[at].item() == pytest.approx(slope, rel=1e-4, abs=1e-9), name


@torch.no_grad()
def test_the_scale_that_is_paid_at_is_the_one_that_is_told_and_stops_at_a_hundred():
    net, batch = two_towers(BagTower(V, 8)), batch_of()
    images, texts = net.embed_images(batch["pictures"]), net.embed_texts(batch["ids"])
    for log_scale, scale in ((0.0, 1.0), (3.0, math.e**3), (9.0, 100.0)):
        net.log_scale.fill_(log_scale)
        loss, metrics = contrast(net, batch, generator(0))
        assert metrics["scale"].item() == pytest.approx(scale)
        assert loss.item() == pytest.approx(by_hand(images.numpy(), texts.numpy(), scale)[0])


# ---- captions


def a_captioner() -> nn.Module:
    return shaken(Captioner(PatchTower(SIDE, 4, 8, 1, 2), V, T + 3, 8, 1, 2))


def nats_of(net: nn.Module, batch: dict[str, Tensor], parallel: bool) -> list[float]:
    """Return what each caption costs by hand: its words and its end, one after another."""
    out = []
    for picture, ids in zip(batch["pictures"], batch["ids"]):
        said = ids[: (ids == END).nonzero()[0, 0] + 1]
        guess = net(picture[None], said[None], parallel)[0].exp()
        shares = guess / guess.sum(1, keepdim=True)
        out.append(-sum(math.log(shares[t, word]) for t, word in enumerate(said)))
    return out


@torch.no_grad()
@pytest.mark.parametrize(("share", "at_once"), [(0.0, 0), (0.25, 1), (0.75, 3), (1.0, 4)])
def test_a_caption_costs_the_sum_over_its_words_and_its_end_and_the_share_at_once_is_exact(share, at_once):
    net, batch = a_captioner(), batch_of(4)
    causal, parallel = nats_of(net, batch, False), nats_of(net, batch, True)
    loss, metrics = caption_loss(share)(net, batch, generator(0))
    assert loss.item() == pytest.approx(np.mean(parallel[:at_once] + causal[at_once:]))
    assert metrics == {}
    assert abs(np.mean(causal) - np.mean(parallel)) > 0.01  # the two are told apart


@torch.no_grad()
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_padding_costs_nothing_and_changes_nothing(share):
    net, batch = a_captioner(), batch_of(4)
    padded = {**batch, "ids": torch.cat([batch["ids"], torch.full((4, 3), PAD)], 1)}
    loss = caption_loss(share)
    assert loss(net, padded, generator(0))[0].item() == pytest.approx(loss(net, batch, generator(0))[0].item())


@torch.no_grad()
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_even_guess_pays_the_logarithm_of_the_vocabulary_for_every_word_and_the_end(share):
    net, batch = a_captioner(), batch_of(8)
    net.head.weight.zero_(), net.head.bias.zero_()
    tokens = (batch["ids"] != PAD).sum(1).double()
    assert len(tokens.unique()) > 2
    loss = caption_loss(share)(net, batch, generator(0))[0].item()
    assert loss == pytest.approx(tokens.mean().item() * math.log(V))  # a mean over words would forget the length


def test_the_picture_learns_from_words_said_both_ways_and_the_words_only_from_those_in_a_row():
    batch = batch_of(4)
    for share, learns in ((0.0, True), (1.0, False)):
        net = a_captioner()
        caption_loss(share)(net, batch, generator(0))[0].backward()
        assert net.image.patches.weight.grad.abs().max() > 1e-6
        assert (net.word.weight.grad is not None) == learns
        assert (net.mask.grad is not None) == (not learns)


@pytest.mark.parametrize("share", [-0.01, 1.01, 75, float("nan")])
def test_a_share_of_parallel_prediction_outside_0_to_1_is_refused(share):
    with pytest.raises(Refused, match=f"^The share of parallel prediction is {share}, but must lie between 0 and 1"):
        caption_loss(share)


# ---- bags of words


class Says(nn.Module):
    """Logits that were written down."""

    def __init__(self, logits_BV: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits_BV)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        return {HEAD: self.logits}


def bag_cost(logits: list[list[float]], ids: list[list[int]]) -> float:
    batch = {"pictures": torch.zeros(len(ids), 3, 2, 2), "ids": torch.tensor(ids)}
    return bag_of_words(Says(torch.tensor(logits)), batch, generator(0))[0].item()


def test_a_bag_costs_one_yes_or_no_for_every_word():
    logits = [[0.3, -1.0, 2.0, 1.5, -0.5, 0.0], [-2.0, 0.1, 0.2, -1.0, 3.0, 0.7]]
    wanted = 0.0
    for row, said in zip(logits, ({3, 5}, {4})):
        for word, x in enumerate(row):
            yes = 1 / (1 + math.exp(-x))
            wanted -= math.log(yes if word in said else 1 - yes)
    assert bag_cost(logits, [[5, 3, 3, END], [4, END, PAD, PAD]]) == pytest.approx(wanted / 2, rel=1e-6)


def test_the_same_words_in_another_order_cost_the_same_and_other_words_do_not():
    gen = generator(3)
    logits = torch.randn(1, V, generator=gen).tolist()
    cost = bag_cost(logits, [[4, 9, 5, 9, END]])
    assert bag_cost(logits, [[9, 5, 9, 4, END]]) == cost == bag_cost(logits, [[9, 5, 4, END, PAD]])
    assert abs(bag_cost(logits, [[4, 9, 6, 9, END]]) - cost) > 1e-3


def test_signs_are_never_asked_for_as_words():
    net = Says(torch.zeros(1, V))
    bag_of_words(net, {"pictures": torch.zeros(1, 3, 2, 2), "ids": torch.tensor([[1, 4, 5, END, PAD]])}, generator(0))[
        0
    ].backward()
    asked = (net.logits.grad[0] < 0).nonzero().flatten().tolist()  # what a step would say more of
    assert asked == [4, 5] and not set(asked) & set(range(len(SIGNS)))
    assert bag_cost([[-99.0] * 4 + [99.0, 99.0]], [[4, 5, END, PAD]]) == pytest.approx(0)
