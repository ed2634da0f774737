"""Probes against what is known: code lengths of models set by hand, least squares, planted labels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from falsework.core.errors import Refused
from falsework.nets.igpt import PixelTransformer
from falsework.probes.likelihood import bits_per_token, caption_code_bits, neighbour_bits
from falsework.probes.linear import (
    RIDGES,
    balanced_accuracy,
    layer_features,
    predict,
    probe_accuracy,
    ridge_fit,
)

torch.set_num_threads(1)
START = np.array([0.5, 0.3, 0.2])
TABLE = np.array([[0.8, 0.15, 0.05], [0.1, 0.1, 0.8], [0.34, 0.33, 0.33]])


class Markov(nn.Module):
    """A chain as a model: logits of each token from the one before it."""

    def __init__(self, start: np.ndarray, table: np.ndarray) -> None:
        super().__init__()
        self.log_start = nn.Parameter(torch.tensor(start).log())
        self.log_table = nn.Parameter(torch.tensor(table).log())

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        first = self.log_start.expand(len(ids_BT), 1, -1)
        return torch.cat([first, self.log_table[ids_BT[:, :-1]]], 1) + 5.0  # logits have no zero point


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log2(p)).sum(-1)


# ---- code lengths


def test_a_uniform_model_pays_log2_k_for_every_token():
    K, ids = 11, np.random.default_rng(0).integers(11, size=(5, 16)).astype(np.uint16)
    net = PixelTransformer(4, torch.zeros(K, 3, dtype=torch.uint8), 8, 1, 2)
    nn.init.zeros_(net.head.bias)
    np.testing.assert_allclose(bits_per_token(net, ids), math.log2(K), atol=1e-5)


def test_a_markov_chain_pays_its_entropy():
    T = 5
    rows = np.array(list(itertools.product(range(3), repeat=T)))  # every possible row
    weight = START[rows[:, 0]] * np.prod([TABLE[rows[:, t - 1], rows[:, t]] for t in range(1, T)], axis=0)
    bits = bits_per_token(Markov(START, TABLE), rows, batch=7)
    np.testing.assert_allclose(bits.sum(1), -np.log2(weight), rtol=1e-5)
    state, wanted = START, [entropy(START)]
    for _ in range(T - 1):
        wanted.append(state @ entropy(TABLE))
        state = state @ TABLE
    np.testing.assert_allclose(weight @ bits, wanted, rtol=1e-5)


def test_every_other_model_pays_more_than_the_true_one():
    rng = np.random.default_rng(1)
    ids = np.empty((4000, 6), int)
    ids[:, 0] = rng.choice(3, size=4000, p=START)
    for t in range(1, 6):
        ids[:, t] = (rng.random(4000)[:, None] > TABLE[ids[:, t - 1]].cumsum(1)).sum(1)
    true = bits_per_token(Markov(START, TABLE), ids).mean()
    floors = neighbour_bits(ids[:, :4], ids[:, :4], side=2, colours=3)
    assert true < floors["copy"] < floors["frequency"] < floors["uniform"] == math.log2(3)
    assert true < bits_per_token(Markov(START, TABLE[[1, 2, 0]]), ids).mean()


def test_the_floors_are_the_ones_worked_by_hand():
    stripes = np.array([[0, 0, 1, 1]] * 50)  # two rows of two equal pixels: the left one says it all
    found = neighbour_bits(stripes, stripes, side=2, colours=2)
    assert found["uniform"] == 1.0 and found["frequency"] == pytest.approx(1.0)
    assert found["copy"] == pytest.approx(0.5, abs=1e-4)  # only the first of each row of two is paid
    four = neighbour_bits(np.array([[0, 0, 0, 0]]), np.array([[0, 0, 0, 1]]), side=2, colours=2)
    share = np.array([5, 1]) / 6  # four seen, one pseudo-count each
    assert four["frequency"] == pytest.approx(-(3 * math.log2(share[0]) + math.log2(share[1])) / 4)


def test_layer_features_are_the_mean_streams_whatever_the_batch():
    torch.manual_seed(0)
    net = PixelTransformer(4, torch.zeros(5, 3, dtype=torch.uint8), 8, 2, 2).eval()
    ids = np.random.default_rng(0).integers(5, size=(7, 16))
    features = layer_features(net, ids, batch=3)
    with torch.no_grad():
        wanted = np.stack([x.mean(1).numpy() for x in net.layers(torch.from_numpy(ids))])
    assert features.shape == (3, 7, 8)
    np.testing.assert_allclose(features, wanted, atol=1e-6)


# ---- linear probes


@pytest.mark.parametrize("N", [60, 13, 7, 4])
def test_without_ridge_the_probe_is_least_squares_and_of_least_norm_when_many_fit(N):
    rng = np.random.default_rng(N)
    x, y = rng.normal(size=(N, 12)), rng.integers(3, size=N)
    (w,) = ridge_fit(x, y, 3, ridges=[0.0])
    centred, targets = x - x.mean(0), np.eye(3)[y]
    wanted, *_ = np.linalg.lstsq(centred, targets - targets.mean(0), rcond=None)
    np.testing.assert_allclose(w[:-1], wanted, atol=1e-6)
    np.testing.assert_allclose(w[-1], targets.mean(0) - x.mean(0) @ wanted, atol=1e-6)
    if N <= 12:
        np.testing.assert_allclose(x @ w[:-1] + w[-1], targets, atol=1e-6)  # it passes through every label


@pytest.mark.parametrize("N", [60, 7])
def test_a_ridge_is_the_solution_of_its_normal_equations(N):
    rng = np.random.default_rng(N)
    x, y = rng.normal(size=(N, 12)) + 3, rng.integers(3, size=N)
    centred, targets = x - x.mean(0), np.eye(3)[y]
    squares = (np.linalg.svd(centred, compute_uv=False) ** 2).mean()
    for ridge, w in zip(RIDGES, ridge_fit(x, y, 3)):
        gram = centred.T @ centred + ridge * squares * np.eye(12)
        np.testing.assert_allclose(w[:-1], np.linalg.solve(gram, centred.T @ targets), atol=1e-6)


def test_balanced_accuracy_is_one_over_k_for_a_constant_guess_whatever_the_class_sizes():
    truth = np.array([0] * 97 + [1] * 2 + [2])
    for k in range(3):
        assert balanced_accuracy(np.full(100, k), truth) == pytest.approx(1 / 3)
    assert balanced_accuracy(truth, truth) == 1.0
    assert balanced_accuracy(np.array([0, 0, 1, 0]), np.array([0, 0, 1, 1])) == 0.75


def planted(seed: int, N: int, shuffled: bool, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Features in which one of three labels is linearly readable through a fixed matrix, at very unlike scales."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, size=N, p=[0.6, 0.3, 0.1])
    mix = np.random.default_rng(0).normal(size=(3, 20))
    x = (np.eye(3)[y] @ mix + noise * rng.normal(size=(N, 20))) * np.logspace(-3, 3, 20) + 100
    return x.astype(np.float32), rng.permutation(y) if shuffled else y


def test_a_planted_label_is_found_and_a_shuffled_one_stays_at_chance():
    sets = [planted(s, n, shuffled=False) for s, n in ((1, 300), (2, 200), (3, 1000))]
    val, test = probe_accuracy(*sets, classes=3)
    assert val > 0.95 and test > 0.95
    sets = [planted(s, n, shuffled=True) for s, n in ((1, 300), (2, 200), (3, 1000))]
    assert probe_accuracy(*sets, classes=3)[1] == pytest.approx(1 / 3, abs=0.06)


def test_the_ridge_is_chosen_on_validation_alone():
    train, val = planted(1, 25, False, noise=1.0), planted(2, 200, False, noise=1.0)
    for test in (planted(3, 300, False), planted(3, 300, True)):
        scale = train[0].std(0) + 1e-6
        fits = ridge_fit(train[0] / scale, train[1], 3)
        scores = [balanced_accuracy(predict(w, val[0] / scale), val[1]) for w in fits]
        assert scores[0] < max(scores) > scores[-1]  # neither end is best: there is something to choose
        best = fits[int(np.argmax(scores))]
        wanted = balanced_accuracy(predict(best, test[0] / scale), test[1])
        assert probe_accuracy(train, val, test, 3) == (max(scores), wanted)


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_out_of_range_is_refused_naming_it(label):
    y = np.array([0, 1, label, 2])
    with pytest.raises(Refused, match=rf"^A label is {label}, but labels must lie in 0 to 2\.$"):
        ridge_fit(np.zeros((4, 2)), y, 3)


def test_a_code_for_captions_never_beats_the_entropy_and_comes_near_it_for_a_known_source():
    draw = np.random.default_rng(0)
    words = np.array(["red", "blue", "green", "gold"])

    def texts(n):
        return [" ".join(words[draw.integers(4, size=3)]) for _ in range(n)]

    bits = caption_code_bits(texts(3000), texts(300), texts(1000))
    # three words of two bits each; that the third is the last must be learned from pairs, which cannot count
    assert 6.0 <= bits.mean() <= 6.0 + 3.0


def test_a_word_never_seen_is_spelled_letter_by_letter():
    train = ["dog face"] * 50
    known, strange = caption_code_bits(train, train, ["dog face", "dog fjord"])
    assert strange > known + 6 * np.log2(27)
