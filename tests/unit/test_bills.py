"""What a picture costs in bits, told nothing or told its caption first: who knows Bayes saves nothing by a caption."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from exact_net import ExactNet, small_world

from falsework.core.errors import Refused
from falsework.probes.information import errors, least_paid, left_bits, paid
from falsework.world.exact import ExactWorld

torch.set_num_threads(1)
LEVELS = ("none", "short", "long")
SIGMAS = np.geomspace(0.02, 60.0, 56)
N = 400
KEYS = ("bills", 1)
WORLD = small_world()


def told(net: ExactNet, level: str):
    """Return what `paid` is to say of renders."""
    return lambda numbers: net.say(numbers, level)


def payment(world: ExactWorld, level: str | None = None, n: int = N, sigmas=SIGMAS) -> np.ndarray:
    return least_paid(world, sigmas, n, *KEYS, level=level)


def saved(world: ExactWorld, level: str) -> tuple[float, float]:
    """Return how many bits cheaper a picture is when its caption is known, and the standard error, on the same draws."""
    bits, se = left_bits(payment(world) - payment(world, level), SIGMAS)
    return float(bits[0]), float(se[0])


# ---- the same draws for all


@pytest.fixture(scope="module")
def seen():
    net, sigmas = ExactNet(WORLD), SIGMAS[::6]
    return net, sigmas, errors(net, net.words, WORLD, net.say, LEVELS, sigmas, 60, *KEYS)


@pytest.mark.parametrize("level", LEVELS)
def test_a_net_pays_what_its_errors_are_on_the_same_draws(seen, level):
    net, sigmas, found = seen
    mine = paid(net, net.words, WORLD, told(net, level), sigmas, 60, *KEYS)
    assert mine.shape == (len(sigmas), 60) and np.array_equal(mine, found.net[level])
    others = paid(net, net.words, WORLD, told(net, level), sigmas, 60, "bills", 2)
    assert not np.isclose(others, mine).any(1).all()


@pytest.mark.parametrize("level", LEVELS)
def test_the_least_that_can_be_paid_is_the_error_of_bayes_on_the_same_draws(seen, level):
    net, sigmas, found = seen
    least = payment(WORLD, None if level == "none" else level, 60, sigmas)
    assert np.allclose(least, found.exact[level], atol=1e-4)
    assert np.allclose(least, paid(net, net.words, WORLD, told(net, level), sigmas, 60, *KEYS), atol=2e-3)
    if level == "none":  # silence and a caption that says nothing
        assert np.allclose(payment(WORLD, "none", 60, sigmas), least, atol=1e-6)


def test_every_noise_and_every_key_has_draws_of_its_own():
    twice = payment(WORLD, None, 50, [1.0, 1.0])
    assert not np.isclose(twice[0], twice[1]).any()
    assert not np.isclose(twice, least_paid(WORLD, [1.0, 1.0], 50, "other keys")).any()
    assert np.array_equal(twice, payment(WORLD, None, 50, [1.0, 1.0]))


def test_who_is_told_more_pays_less_at_every_noise():
    bare, short, long = (payment(WORLD, level).mean(1) for level in (None, "short", "long"))
    assert (long <= short + 1e-4).all() and (short <= bare + 1e-4).all()
    middle = (SIGMAS > 0.5) & (SIGMAS < 8)
    assert (short[middle] < 0.98 * bare[middle]).all() and (long[middle] < 0.98 * short[middle]).all()
    largest = payment(WORLD, "long", 4000, [500.0]).mean()  # in the end nothing is left but what the words do not say
    wanted = WORLD.variance_between() - WORLD.variance_between("long") + WORLD.D * WORLD.texture**2
    assert largest == pytest.approx(wanted, rel=0.03)


def test_who_is_told_something_false_pays_more_than_who_is_told_nothing():
    net, middle = ExactNet(WORLD), [0.5, 1.0, 2.0]
    wrong = paid(net, net.words, WORLD, lambda index: net.say((index + 1) % 16, "long"), middle, N, *KEYS)
    assert (wrong.mean(1) > 1.2 * payment(WORLD, None, N, middle).mean(1)).all()


def test_noise_that_the_net_was_not_trained_in_and_an_unknown_level_are_refused():
    net = ExactNet(WORLD, (0.06, 64.0))
    with pytest.raises(Refused, match=r"^The noise is sigma 0\.05, but this net was trained from 0\.06 to 64\.$"):
        paid(net, net.words, WORLD, told(net, "short"), [1.0, 0.05], 4, 0)
    with pytest.raises(
        Refused, match=r"^caption level or factor is 'brief', but must be one of 'none', 'short', 'long'"
    ):
        least_paid(WORLD, [1.0], 4, 0, level="brief")


# ---- the caption first, then the picture


@pytest.mark.parametrize("level", ["short", "long"])
def test_the_caption_and_then_the_picture_cost_bayes_what_the_picture_costs_alone(level):
    """-log p(c) - log p(x | c) = -log p(x) where the picture shows its caption: H(c | x) = 0, as it is here."""
    assert WORLD.entropy_given_render(level) == 0
    entropy, (bits, se) = WORLD.entropy(level), saved(WORLD, level)
    direct = left_bits(payment(WORLD), SIGMAS)[0][0]
    first = entropy + left_bits(payment(WORLD, level), SIGMAS)[0][0]
    assert direct <= first + 3 * se
    assert first == pytest.approx(direct, abs=3 * se + 0.02) and 3 * se < 0.3 < 0.03 * direct
    assert bits == pytest.approx(entropy, abs=3 * se + 0.02) and entropy in (2, 3)


def test_what_the_caption_adds_at_every_noise_is_what_a_noisy_picture_does_not_show_of_it():
    """direct(s) <= H(c) + told(s), and what is between them is H(c | x_s), which falls to nothing."""
    bare, level = payment(WORLD), "long"
    bits, se = left_bits(bare - payment(WORLD, level), SIGMAS)
    more = WORLD.entropy(level) - bits
    assert (more > -3 * se - 0.01).all() and more[-1] == pytest.approx(3, abs=0.01)
    for sigma in (0.5, 1.0, 2.0):
        k = int(np.abs(np.log(SIGMAS / sigma)).argmin())
        drawn = WORLD.sample(4000, "unsure")
        x_s = drawn.x + np.float32(SIGMAS[k]) * drawn.eps
        p = WORLD.posterior(x_s, SIGMAS[k], level).astype(np.float64)
        unsure = -(p * np.log2(p + 1e-30)).sum(1).mean()
        assert more[k] == pytest.approx(unsure, abs=3 * se[k] + 0.03)


def ambiguous(unlike: int) -> ExactWorld:
    """Return eight renders that each stand twice in the list; of the first `unlike` the two are called otherwise."""
    renders = np.random.default_rng(3).uniform(-1, 1, (8, 12)).repeat(2, 0)
    code = np.arange(8).repeat(2)
    code[1 : 2 * unlike : 2] += 8
    return ExactWorld(renders, {"none": 0 * code, "name": code}, texture=0.1)


@pytest.mark.parametrize("unlike", [0, 4, 8])
def test_a_caption_that_the_picture_does_not_settle_costs_what_it_leaves_open(unlike):
    """At most H(c | x) more, and exactly that when all is seen: choosing between two names of one picture is waste."""
    world = ambiguous(unlike)
    waste = unlike / 8
    assert world.entropy_given_render("name") == pytest.approx(waste)
    assert world.entropy("name") == pytest.approx(3 + waste)
    bits, se = saved(world, "name")
    assert bits == pytest.approx(3, abs=3 * se + 0.02)  # the second name saves nothing
    assert world.entropy("name") - bits == pytest.approx(waste, abs=3 * se + 0.02)


def test_a_net_that_blurs_when_it_is_told_nothing_saves_more_than_the_caption_costs():
    """What a caption gains net of its price is what the learner lacks without it, never what Bayes lacks."""
    bare, worse = payment(WORLD), payment(WORLD) + 12 * 0.1**2
    lacking = left_bits(worse - bare, SIGMAS)[0][0]
    gain = left_bits(worse - payment(WORLD, "long"), SIGMAS)[0][0] - WORLD.entropy("long")
    (bits, se), exact = saved(WORLD, "long"), WORLD.entropy("long")
    assert gain == pytest.approx(lacking + bits - exact, rel=0.01)
    assert gain == pytest.approx(lacking, abs=3 * se + 0.02 * lacking)


# ---- eight modes on a circle


MODES = np.stack([(math.cos(a), math.sin(a)) for a in np.arange(8) * math.pi / 4])
SPREAD = 0.05
V = 0.5 + SPREAD**2  # variance of each number
RUNGS = np.geomspace(1e-4, 1e3, 1200)


def untold(sigma: float, nodes: int = 24) -> float:
    """Return E|x - E[x | x_s]|^2 of the exact denoiser that is not told the mode, by Gauss-Hermite quadrature."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    v = SPREAD**2 + sigma**2
    seen = MODES[0] + math.sqrt(v) * np.stack(np.meshgrid(z, z), -1).reshape(-1, 2)  # by symmetry one mode will do
    weight = np.outer(w, w).ravel() / w.sum() ** 2
    log_p = -np.square(seen[:, None] - MODES).sum(2) / (2 * v)
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    mean = p / p.sum(1, keepdims=True) @ MODES
    # |m - mbar|^2 of the modes, shrunk by s^2 / v, and the spread, of which the mode says nothing
    return float((sigma**2 / v) ** 2 * (weight @ np.square(MODES[0] - mean).sum(1)) + knowing(sigma))


def knowing(sigma: float) -> float:
    """Return the error of who is told the mode: the spread's alone, and the answer is linear."""
    return 2 * SPREAD**2 * sigma**2 / (SPREAD**2 + sigma**2)


def linear(sigma: float) -> float:
    """Return the least error of an answer a x_s + b that is not told the mode."""
    return 2 * V * sigma**2 / (V + sigma**2)


def bits_of(error) -> float:
    """Return 1/2 int E d(1/s^2) in bits over all noise from RUNGS[0] on: int E / s^2 d ln s, above the last E stays."""
    paid = np.array([error(s) for s in RUNGS]) / RUNGS**2
    return (np.trapezoid(paid, np.log(RUNGS)) + paid[-1] / 2) / math.log(2)


@pytest.fixture(scope="module")
def bill() -> dict[str, float]:
    return {"exact": bits_of(untold), "linear": bits_of(linear), "told": bits_of(knowing)}


def test_being_told_one_of_eight_modes_saves_bayes_three_bits(bill):
    assert bill["exact"] - bill["told"] == pytest.approx(3, rel=0.01)
    assert bill["exact"] - bill["told"] <= 3 + 1e-3  # no more than the label says


def test_being_told_the_mode_saves_a_linear_learner_more_than_the_mode_says(bill):
    closed = math.log2(V / SPREAD**2)
    assert closed == pytest.approx(7.65, abs=0.005)
    assert bill["linear"] - bill["told"] == pytest.approx(closed, rel=0.001)


def test_net_of_three_bits_for_the_label_a_linear_learner_gains_and_the_exact_one_does_not(bill):
    net = {who: bill[who] - bill["told"] - 3 for who in ("exact", "linear")}
    assert net["linear"] == pytest.approx(4.65, abs=0.01) and net["exact"] == pytest.approx(0, abs=0.03)
    # told or not, nobody pays less than Bayes does for the picture
    assert bill["told"] + 3 >= bill["exact"] - 1e-3 and bill["linear"] > bill["exact"] + 4


def test_left_bits_counts_the_same_bill(bill):
    for who, error in (("exact", untold), ("linear", linear), ("told", knowing)):
        square = np.array([[error(s)] * 2 for s in RUNGS[::3]])
        assert left_bits(square, RUNGS[::3])[0][0] == pytest.approx(bill[who], rel=0.002)
        # and above the largest noise the error stays as it is
        last = left_bits(square, RUNGS[::3])[0][-1]
        assert last == pytest.approx(square[-1, 0] / (2 * RUNGS[::3][-1] ** 2) / math.log(2), rel=1e-9)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 4.0])
def test_no_other_linear_answer_errs_less_and_the_exact_one_does(sigma):
    draw = np.random.default_rng(5)
    x = MODES[draw.integers(8, size=200_000)] + SPREAD * draw.standard_normal((200_000, 2))
    x_s = x + sigma * draw.standard_normal(x.shape)
    seen = np.column_stack([x_s, np.ones(len(x))])
    fitted = np.linalg.lstsq(seen, x, rcond=None)[0]
    assert np.square(x - seen @ fitted).sum(1).mean() == pytest.approx(linear(sigma), rel=0.01)
    v = SPREAD**2 + sigma**2
    log_p = -np.square(x_s[:, None] - MODES).sum(2) / (2 * v)
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    best = (sigma**2 * (p / p.sum(1, keepdims=True) @ MODES) + SPREAD**2 * x_s) / v
    assert np.square(x - best).sum(1).mean() == pytest.approx(untold(sigma), rel=0.015)
    assert knowing(sigma) <= untold(sigma) + 1e-12 and untold(sigma) <= linear(sigma) + 1e-12


def test_the_same_modes_as_a_list_of_renders_cost_bayes_the_same_bill(bill):
    """Eight renders of two numbers under texture: the library's own Bayes, on draws."""
    world = ExactWorld(MODES, {"none": np.zeros(8, int), "mode": np.arange(8)}, texture=SPREAD)
    sigmas = np.geomspace(0.01, 60, 48)
    bits, se = left_bits(payment(world, None, 2000, sigmas) - payment(world, "mode", 2000, sigmas), sigmas)
    assert bits[0] == pytest.approx(3, abs=3 * se[0] + 0.01) and se[0] < 0.05
