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
from falsework.probes.likelihood import (
    bits_by_band,
    bits_by_region,
    bits_per_token,
    caption_code_bits,
    caption_information,
    haar_bands,
    neighbour_bits,
)
from falsework.probes.linear import (
    RIDGES,
    attention_pool,
    attention_probe,
    balanced_accuracy,
    decompose,
    few_shot_rows,
    layer_features,
    layer_svds,
    layer_tokens,
    predict,
    probe_accuracy,
    probe_layers,
    range_share,
    ridge_fit,
    ridge_solve,
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
    for layer in range(3):  # half precision: three digits
        tokens = layer_tokens(net, ids, layer, batch=3)
        assert tokens.shape == (7, 16, 8)
        np.testing.assert_allclose(tokens.astype(float).mean(1), wanted[layer], atol=2e-3)
    with pytest.raises(Refused, match=r"^The layer is 3, but must lie in 0 to 2\.$"):
        layer_tokens(net, ids, 3)


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


# ---- few shots, every layer


def test_few_shots_are_balanced_and_drawn_without_replacement():
    labels = np.random.default_rng(0).choice(4, size=200, p=[0.7, 0.1, 0.1, 0.1])
    rows = few_shot_rows(labels, 8, 4, np.random.default_rng(1))
    assert len(set(rows)) == 32 and (np.bincount(labels[rows]) == 8).all()
    assert (rows == few_shot_rows(labels, 8, 4, np.random.default_rng(1))).all()
    assert (rows != few_shot_rows(labels, 8, 4, np.random.default_rng(2))).any()
    with pytest.raises(Refused, match=r"^The shots per class are 3, but .* at most the 2 rows of class 1\.$"):
        few_shot_rows(np.array([0, 1, 0, 1, 0]), 3, 2, np.random.default_rng(0))
    with pytest.raises(Refused, match=r"^The shots per class are 0,"):
        few_shot_rows(np.array([0, 1]), 0, 2, np.random.default_rng(0))


@pytest.mark.parametrize("shots", [2, 30])  # fewer rows than features, and more
def test_one_decomposition_serves_every_factor_and_scales_as_if_the_features_had_been_scaled(shots):
    rng = np.random.default_rng(shots)
    x = rng.normal(size=(3 * shots, 12)) * np.logspace(-2, 2, 12) + 5
    svd = decompose(x, x.std(0))
    for y in (np.arange(len(x)) % 3, rng.integers(3, size=len(x))):
        (w,) = ridge_solve(svd, y, 3, ridges=[1e-12])
        centred, targets = (x - x.mean(0)) / x.std(0), np.eye(3)[y]
        wanted, *_ = np.linalg.lstsq(centred, targets - targets.mean(0), rcond=None)
        np.testing.assert_allclose(x @ w[:-1] + w[-1], centred @ wanted + targets.mean(0), atol=1e-6)


def layered(seed: int, N: int, noise: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Features of several layers, each with its own noise over the same three planted classes."""
    rng = np.random.default_rng(seed)
    y, mix = rng.integers(3, size=N), np.random.default_rng(0).normal(size=(3, 20))
    return np.stack([np.eye(3)[y] @ mix + s * rng.normal(size=(N, 20)) for s in noise]).astype(np.float32), y


def test_the_layer_is_chosen_on_validation_whatever_the_test_says():
    parts = {
        "train": layered(1, 300, (3, 1, 1)),
        "val": layered(2, 400, (3, 1, 4)),
        "test": layered(3, 400, (3, 2, 0.1)),
    }
    features, labels = ({s: part[i] for s, part in parts.items()} for i in (0, 1))
    found = probe_layers(features, labels, 3)
    assert found.best == 1 == found.val_L.argmax() and found.test_L.argmax() == 2
    mixed = {**labels, "test": np.random.default_rng(0).permutation(labels["test"])}
    again = probe_layers(features, mixed, 3, svds=layer_svds(features["train"]))
    assert again.best == 1 and (again.val_L == found.val_L).all()
    assert again.test_L == pytest.approx(1 / 3, abs=0.1)
    for layer in range(3):
        sets = [(features[s][layer], labels[s]) for s in ("train", "val", "test")]
        assert probe_accuracy(*sets, classes=3) == (found.val_L[layer], found.test_L[layer])


def test_few_shots_know_less_than_all_labels_and_more_than_chance():
    parts = {s: layered(i, 600, (1.5,)) for i, s in enumerate(("train", "val", "test"))}
    features, labels = ({s: part[i] for s, part in parts.items()} for i in (0, 1))
    whole = probe_layers(features, labels, 3).test_L[0]
    few = [probe_layers(features, labels, 3, 5, np.random.default_rng(i)).test_L[0] for i in range(5)]
    assert 1 / 3 + 0.1 < np.mean(few) < whole - 0.05
    with pytest.raises(Refused, match=r"^The shots per class are 5 without rng"):
        probe_layers(features, labels, 3, shots=5)


def test_a_share_of_the_range_is_zero_at_chance_one_at_the_ceiling_and_linear_between():
    assert range_share(0.25, 0.25, 0.9) == 0 and range_share(0.9, 0.25, 0.9) == 1
    assert range_share(0.5, 0.0) == 0.5 and range_share(0.6, 0.2) == pytest.approx(0.5)
    assert range_share(0.1, 0.2) < 0
    with pytest.raises(Refused, match=r"^The ceiling is 0\.5, but must be above chance, 0\.5\.$"):
        range_share(0.5, 0.5, 0.5)


# ---- attention pooling


def marked(seed: int, N: int, T: int = 64, D: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Every position shows the code of a random class; the one marked by feature 0 shows the picture's own.

    Labels: that class, and a coin nobody can know.
    """
    rng = np.random.default_rng(seed)
    y, at, shown = rng.integers(2, size=N), rng.integers(T, size=N), rng.integers(2, size=(N, T))
    shown[np.arange(N), at] = y
    x = rng.normal(size=(N, T, D)) + np.random.default_rng(0).normal(size=(2, D))[shown]
    x[..., 0] = 0.1 * rng.normal(size=(N, T))
    x[np.arange(N), at, 0] += 3
    return x.astype(np.float16), np.stack([y, rng.integers(2, size=N)], 1)


def test_a_query_of_zeros_is_mean_pooling_and_a_long_one_picks_a_position():
    x = marked(0, 5)[0].astype(np.float32)
    pick = np.zeros((2, 12), np.float32)
    pick[1, 0] = 50
    pooled = attention_pool(x, pick, batch=2)
    np.testing.assert_allclose(pooled[0], x.mean(1), atol=1e-5)
    np.testing.assert_allclose(pooled[1], x[np.arange(5), x[..., 0].argmax(1)], atol=1e-5)


def test_attention_finds_the_marked_position_that_the_mean_cannot_and_each_factor_as_if_alone():
    train, val, test = marked(1, 1000), marked(2, 300), marked(3, 600)
    both = attention_probe(train, val, test, [2, 2], np.random.default_rng(0))
    (alone,) = attention_probe(*[(x, y[:, :1]) for x, y in (train, val, test)], [2], np.random.default_rng(0))
    assert both[0].test > 0.85 and both[0].mean_test < 0.65
    assert both[0].query_D.argmax() == 0  # it looks for the mark
    assert both[1].test == pytest.approx(0.5, abs=0.07)  # nothing to find
    assert both[0][:4] == pytest.approx(alone[:4], abs=0.02)
    np.testing.assert_allclose(both[0].query_D, alone.query_D, atol=0.05)


def test_where_attention_gains_nothing_the_answer_is_mean_pooling_and_equal_seeds_agree():
    def told(seed, N):  # every position says the same, with no noise that averaging or choosing could lower
        y = np.random.default_rng(seed).integers(3, size=(N, 1))
        return np.repeat(np.eye(3, dtype=np.float32)[y], 8, 1), y

    sets = told(1, 90), told(2, 60), told(3, 60)
    (found,) = attention_probe(*sets, [3], np.random.default_rng(0), steps=20)
    means = [(x.mean(1), y[:, 0]) for x, y in sets]
    assert found[:2] == found[2:4] == probe_accuracy(*means, classes=3) == (1.0, 1.0)
    assert (found.query_D == 0).all()
    sets = marked(1, 200), marked(2, 100), marked(3, 100)
    one, two = (attention_probe(*sets, [2, 2], np.random.default_rng(5), steps=40) for _ in range(2))
    for a, b in zip(one, two):
        assert a[:4] == b[:4] and (a.query_D == b.query_D).all()


def test_labels_that_do_not_fit_an_attention_probe_are_refused():
    x = np.zeros((4, 2, 3), np.float32)
    with pytest.raises(Refused, match=r"^The labels have shape \(4,\), but must be pictures by 1 factors\.$"):
        attention_probe(*[(x, np.zeros(4, int))] * 3, [2], np.random.default_rng(0))
    with pytest.raises(Refused, match=r"^A label is 2, but labels must lie in 0 to 1\.$"):
        attention_probe(*[(x, np.full((4, 1), 2))] * 3, [2], np.random.default_rng(0))


# ---- regions, bands, captions


def test_regions_split_the_bits_and_must_partition_the_picture():
    bits = np.arange(12.0).reshape(2, 6)
    left = np.array([[1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]], bool)
    found = bits_by_region(bits, {"left": left, "right": ~left})
    assert found["left"] == ((0 + 1 + 2 + 6) / 2, 9 / 66, 2.0)
    assert sum(part.bits for part in found.values()) == bits.sum() / 2
    assert sum(part.share for part in found.values()) == pytest.approx(1)
    assert sum(part.pixels for part in found.values()) == 6
    with pytest.raises(Refused, match=r"^A pixel lies in 0 of the regions left, but must lie in exactly one"):
        bits_by_region(bits, {"left": left})
    with pytest.raises(Refused, match=r"^A pixel lies in 2 of the regions left, all"):
        bits_by_region(bits, {"left": left, "all": np.ones((2, 6), bool)})
    with pytest.raises(Refused, match=r"^The mask 'left' is int64 of shape \(2, 6\), but must be bool"):
        bits_by_region(bits, {"left": left.astype(np.int64)})


def test_haar_bands_are_orthogonal_and_keep_the_energy_and_the_picture():
    x = np.random.default_rng(0).uniform(-1, 1, size=(3, 16, 16, 3))
    bands = haar_bands(x)
    flat = bands.transpose(1, 0, 2, 3, 4).reshape(3, 5, -1)
    gram = flat @ flat.transpose(0, 2, 1)
    np.testing.assert_allclose(gram, np.eye(5) * gram, atol=1e-10)
    np.testing.assert_allclose((bands**2).sum(0).sum((1, 2, 3)), (x**2).sum((1, 2, 3)))
    np.testing.assert_allclose(bands.sum(0), x, atol=1e-12)
    # white noise: a scale of block 2^j has 3 * 4^(J - j) of the 4^J coefficients, here 192, 48, 12, 3 and 1 of 256
    noise = haar_bands(np.random.default_rng(1).normal(size=(2000, 16, 16, 1)))
    np.testing.assert_allclose((noise**2).mean((1, 2, 3, 4)) * 256, [192, 48, 12, 3, 1], rtol=0.1)


def test_bands_name_the_scale_of_a_picture_made_for_them():
    row, column = np.indices((16, 16))
    made = {
        "2 px": (row + column) % 2,  # a checkerboard
        "4 px": (row // 2 + column // 2) % 2,
        "16 px": column // 8,  # left and right
        "flat": np.full((16, 16), 0.1),
    }
    for band, picture in made.items():
        bits = np.random.default_rng(0).exponential(size=(1, 256)).astype(np.float32)
        found = bits_by_band(bits, (picture * 1.1 - 0.3)[None, ..., None].repeat(3, -1).astype(np.float32))
        assert list(found) == ["2 px", "4 px", "8 px", "16 px", "flat"]
        assert found[band].share == pytest.approx(1) and found[band].pixels == 256
        assert all(part.share < 1e-9 for name, part in found.items() if name != band)
    board, halves = made["2 px"], made["16 px"]
    found = bits_by_band(np.ones((1, 256)), np.stack([board, board, halves], -1)[None] / 2)
    assert found["2 px"].share == pytest.approx(2 / 3)  # red and green against blue
    bits, noise = np.random.default_rng(0).random((5, 64)), np.random.default_rng(1).random((5, 8, 8, 3))
    found = bits_by_band(bits, noise)
    assert sum(part.share for part in found.values()) == pytest.approx(1, abs=1e-12)
    assert sum(part.bits for part in found.values()) == pytest.approx(bits.sum() / 5)
    assert bits_by_band(bits, 127.5 * (noise + 1))["4 px"].share == pytest.approx(found["4 px"].share)


def test_pictures_without_bands_are_refused():
    for shape in ((1, 12, 12, 3), (1, 8, 4, 3), (1, 1, 1, 3)):
        with pytest.raises(Refused, match=rf"^The pictures are {shape[1]} by {shape[2]} pixels, but must be square"):
            haar_bands(np.zeros(shape))
    with pytest.raises(Refused, match=r"^The bits have shape \(1, 9\), but the pictures have pixels \(1, 16\)\.$"):
        bits_by_band(np.zeros((1, 9)), np.zeros((1, 4, 4, 3)))


def test_a_caption_saves_its_mutual_information_and_a_poor_blank_model_breaks_the_bound():
    p_c = np.array([0.5, 0.25, 0.25])
    p_x_c = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.05, 0.05, 0.1, 0.8]])
    joint, p_x = p_c[:, None] * p_x_c, p_c @ p_x_c
    truth = float((joint * np.log2(p_x_c / p_x)).sum())  # I(c; x), every pair enumerated
    pairs = np.random.default_rng(0).choice(12, size=4000, p=joint.ravel())
    c, x = np.divmod(pairs, 4)
    h_c = float(entropy(p_c))
    found = caption_information(-np.log2(p_x[x]), -np.log2(p_x_c[c, x]), h_c)
    assert abs(found.mean - truth) < 3 * found.se < 0.1
    assert found.mean <= h_c and found.over_bound is False
    poor = np.array([0.97, 0.01, 0.01, 0.01])  # a blank model that never learned most pictures
    broken = caption_information(-np.log2(poor[x]), -np.log2(p_x_c[c, x]), h_c)
    assert broken.mean > h_c and broken.over_bound is True
    chance = caption_information(np.array([3.0, 1.0] * 4), np.zeros(8), 1.9)
    assert chance.mean > 1.9 and chance.over_bound is False  # above it by less than its own error
    assert caption_information(np.zeros(3), np.zeros(3)) == (0.0, 0.0, None)
    # the standard error is that of a mean: four times the pictures, half of it
    assert caption_information(*np.tile([[3.0, 1.0] * 500, [1.0, 1.0] * 500], 4)).se == pytest.approx(
        1 / 4000**0.5, rel=0.01
    )
    for wrong in (np.zeros(3), np.zeros((2, 2)), np.zeros(1)):
        with pytest.raises(Refused, match=r"^The code lengths have shapes .* of the same pictures, two or more"):
            caption_information(wrong if wrong.size == 1 else np.zeros(2), wrong)


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
