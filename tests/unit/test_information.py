"""What a denoiser says a caption is worth: exact where the denoiser is, too much or too little where one half errs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from exact_net import ExactNet, Heard, small_world
from torch import Tensor

from falsework.core.errors import Refused
from falsework.noise import sigma_of
from falsework.probes.denoised import imagine
from falsework.probes.information import Errors, errors, left_bits, lower_bound
from falsework.world.exact import BITS
from falsework.world.ladder import ladder, measure

torch.set_num_threads(1)
LEVELS = ("none", "short", "long")
SIGMAS = np.geomspace(0.05, 60.0, 40)
N = 300
WORLD = small_world()
KEYS = ("a test",)


class Biased(ExactNet):
    """Bayes, but for a constant in the answers of one branch: with words, or without."""

    def __init__(self, bias: float, with_words: bool) -> None:
        super().__init__(WORLD)
        self.bias, self.with_words = bias, with_words

    def clean(self, x: Tensor, log_snr_B: Tensor, heard: Heard) -> Tensor:
        """Return the mean picture, and the bias where it is planted."""
        wrong = (heard[0].all(1) != self.with_words).view(-1, 1, 1, 1)
        return super().clean(x, log_snr_B, heard) + self.bias * wrong


class Blurred(ExactNet):
    """Bayes, but half way to the plain mean in the answers of one branch, as a net that has learnt too little."""

    def __init__(self, with_words: bool) -> None:
        super().__init__(WORLD)
        self.with_words = with_words

    def clean(self, x: Tensor, log_snr_B: Tensor, heard: Heard) -> Tensor:
        """Return the mean picture, blurred where it is planted."""
        best = super().clean(x, log_snr_B, heard)
        wrong = (heard[0].all(1) != self.with_words).view(-1, 1, 1, 1)
        mean = self.renders_ND.mean(0).view(*best.shape[2:], 3).permute(2, 0, 1).to(best.dtype)
        return torch.where(wrong, 0.5 * (best + mean), best)


def asked(net: ExactNet, say=None, n: int = N) -> Errors:
    return errors(net, net.words, WORLD, say or net.say, LEVELS, SIGMAS, n, *KEYS)


def worth(found: Errors, level: str) -> tuple[np.ndarray, np.ndarray]:
    """Return bits and their standard errors, (S,)."""
    return left_bits(found.net["none"] - found.net[level], found.sigmas)


def from_table(rows: list[dict], level: str, metric: str, key: str = "value") -> np.ndarray:
    return np.array([r[key] for r in rows if r["level"] == level and r["metric"] == metric and r["sigma"]])


@pytest.fixture(scope="module")
def exact() -> Errors:
    return asked(ExactNet(WORLD))


@pytest.fixture(scope="module")
def truth() -> list[dict]:
    return ladder(WORLD, SIGMAS, 3 * N, "another draw")


# ---- with the exact denoiser


def test_the_exact_world_in_a_nets_clothes_answers_as_the_exact_world():
    net, drawn = ExactNet(WORLD), WORLD.sample(40, 0)
    for level in LEVELS:
        codes = WORLD.group(level).values[WORLD.group(level).code[drawn.index]]
        for sigma in (0.05, 0.5, 5.0):
            x_s = drawn.x + np.float32(sigma) * drawn.eps
            found = imagine(net, net.words, x_s, sigma, net.say(drawn.index, level))
            assert np.allclose(found, WORLD.denoise(x_s, sigma, level, codes), atol=1e-4)


def test_the_errors_of_a_net_that_is_exact_are_those_of_bayes_on_the_same_draws(exact):
    assert exact.net.keys() == exact.apart.keys() == exact.exact.keys() == set(LEVELS)
    for level in LEVELS:
        assert np.allclose(exact.net[level], exact.exact[level], atol=1e-3)
    assert exact.apart["none"].max() == 0
    again = asked(ExactNet(WORLD))
    assert np.array_equal(again.net["long"], exact.net["long"])  # a function of the keys


def test_the_squared_distance_of_the_two_answers_is_the_difference_of_their_errors(exact):
    """E|D_0 - D_c|^2 = E|x - D_0|^2 - E|x - D_c|^2 at every noise: the answers lie at a right angle to what is left."""
    for level in LEVELS[1:]:
        off = exact.net["none"] - exact.net[level] - exact.apart[level]
        z = off.mean(1) / (off.std(1) / math.sqrt(N) + 1e-6)
        assert np.abs(z).max() < 4 and off.std() > 0.1  # true in the mean alone, not picture by picture


@pytest.mark.parametrize("level", LEVELS[1:])
def test_worth_and_apart_of_the_exact_denoiser_are_the_information_of_the_ladder(exact, truth, level):
    known, known_se = (from_table(truth, level, "information", key) for key in ("value", "se"))
    assert known[0] == pytest.approx(WORLD.entropy(level), abs=0.01) and known[-1] < 0.01
    for bits, se in (worth(exact, level), left_bits(exact.apart[level], exact.sigmas)):
        assert (np.abs(bits - known) < 4 * np.hypot(se, known_se) + 0.01 + 0.01 * known).all()
    assert worth(exact, level)[1].mean() > left_bits(exact.apart[level], exact.sigmas)[1].mean()  # with more noise


def test_what_is_left_to_pay_is_half_the_error_over_all_noise_above():
    sigmas = np.geomspace(0.05, 60, 400)
    for power in (0, 1):  # a constant c leaves c / 2 s^2 nats, and c / u of the noise u leaves c / 3 s^3
        square = np.repeat((0.7 / sigmas**power)[:, None], 5, 1)
        bits, se = left_bits(square, sigmas)
        below = sigmas < 12
        wanted = 0.7 * BITS / ((2 + power) * sigmas ** (2 + power))
        assert np.allclose(bits[below], wanted[below], rtol=0.01) and np.allclose(se, 0)
    assert left_bits(np.full((40, 5), 0.7), SIGMAS)[0][-1] == pytest.approx(0.35 * BITS / 3600)


# ---- with planted faults


@pytest.mark.parametrize("level", LEVELS[1:])
def test_a_worse_blank_branch_makes_words_worth_more_and_a_worse_told_branch_less(exact, truth, level):
    """By what the fault costs: a constant b in every one of D numbers leaves D b^2 / 2 s^2 nats more to pay."""
    bias, right = 0.1, worth(exact, level)[0]
    cost = 12 * bias**2 / (2 * SIGMAS**2) * BITS
    blank, told = (asked(Biased(bias, with_words)) for with_words in (False, True))
    for found, sign in ((blank, 1), (told, -1)):
        bits, se = worth(found, level)
        assert (np.abs(bits - right - sign * cost) < 4 * se + 0.05 * cost + 1e-3).all()
    known = from_table(truth, level, "information")
    seen = cost > 0.3  # where the fault is more than chance
    assert seen.sum() > 8
    assert (worth(told, level)[0] < known)[seen].all() and (known < worth(blank, level)[0])[seen].all()


@pytest.mark.parametrize("level", LEVELS[1:])
def test_the_distance_of_the_answers_grows_with_a_fault_of_either_branch(exact, level):
    """It is no bound: whatever is wrong looks like words that matter."""
    right = left_bits(exact.apart[level], exact.sigmas)[0]
    for with_words in (False, True):
        assert (left_bits(asked(Biased(0.1, with_words)).apart[level], SIGMAS)[0] > right).all()


@pytest.mark.parametrize("level", LEVELS[1:])
def test_nets_that_have_learnt_too_little_enclose_the_truth_by_the_branch_that_they_lack(truth, level):
    known = from_table(truth, level, "information")
    told, blank = (asked(Blurred(with_words)) for with_words in (True, False))
    seen = SIGMAS < 3
    assert (worth(told, level)[0] < known)[seen].all() and (known < worth(blank, level)[0])[seen].all()


def test_a_net_told_wrong_captions_finds_them_worth_nothing_or_less(exact):
    """Captions of other pictures: independent of the picture, and trusted."""
    net = ExactNet(WORLD)

    def shuffled(numbers: np.ndarray, level: str) -> list[str]:
        return net.say(np.random.default_rng(0).permutation(numbers), level)

    found = asked(net, shuffled)
    for level in LEVELS[1:]:
        bits, se = worth(found, level)
        assert (bits < 4 * se).all() and bits[0] < -1
        assert (left_bits(found.apart[level], SIGMAS)[0] >= 0).all()  # which the distance does not notice


def test_words_that_no_level_is_asked_about_and_noise_out_of_range_are_refused():
    net = ExactNet(WORLD, (0.06, 64.0))
    for levels in ((), ("short", "none"), ("long",)):
        with pytest.raises(Refused, match=r"^The levels are .*, but the first must be 'none'"):
            errors(net, net.words, WORLD, net.say, levels, [1.0], 4, 0)
    with pytest.raises(Refused, match=r"^The noise is sigma 0\.05, but this net was trained from 0\.06 to 64\.$"):
        errors(net, net.words, WORLD, net.say, LEVELS, [0.05, 1.0], 4, 0)


def test_pictures_are_drawn_afresh_at_every_noise_and_by_every_key():
    net = ExactNet(WORLD)
    one, other = (errors(net, net.words, WORLD, net.say, LEVELS, [1.0, 1.0], 30, key) for key in (0, 1))
    assert not np.array_equal(one.net["none"][0], one.net["none"][1])
    assert not np.array_equal(one.net["none"], other.net["none"])


# ---- the lower bound


def read(level: str, sigma: float, n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Return Bayes' posterior of every code, (n, K), and the true codes (n,)."""
    drawn = WORLD.sample(n, "read", level, sigma)
    p = WORLD.posterior(drawn.x + np.float32(sigma) * drawn.eps, sigma, level).astype(np.float64)
    return p / p.sum(1, keepdims=True), WORLD.group(level).code[drawn.index]


@pytest.mark.parametrize("level", LEVELS[1:])
@pytest.mark.parametrize("sigma", [0.6, 1.0, 3.0])
def test_the_bound_of_bayes_is_the_information_itself_and_no_other_reader_has_more(level, sigma):
    p, code = read(level, sigma)
    at = np.arange(len(code)), code
    known = measure(WORLD, [sigma], 4000, "known").information[level]
    se_known = known.std() / math.sqrt(known.size)
    bits, se = lower_bound(WORLD.entropy(level), np.log(p[at])[None])
    assert abs(bits[0] - known.mean()) < 4 * math.hypot(se[0], se_known)
    K = p.shape[1]
    hasty, timid = p**2, p**0.5
    readers = {
        "hasty": hasty / hasty.sum(1, keepdims=True),
        "timid": timid / timid.sum(1, keepdims=True),
        "vague": 0.5 * p + 0.5 / K,
        "partial": 0.7 * p + 0.3 * np.eye(K)[0],
    }
    for name, q in readers.items():
        less, se_less = lower_bound(WORLD.entropy(level), np.log(q[at])[None])
        assert less[0] < known.mean() + 3 * math.hypot(se_less[0], se_known), name
        lost = np.log(p[at]) - np.log(q[at])  # paired: Bayes loses to nobody
        assert lost.mean() > -3 * lost.std() / math.sqrt(len(lost)), name
        assert lost.mean() > 0.003 or (name, sigma) == ("hasty", 0.6)


@pytest.mark.parametrize("level", LEVELS[1:])
def test_captions_of_other_pictures_bound_nothing_or_less(level):
    for sigma in (0.5, 2.0, 20.0):
        p, code = read(level, sigma)
        wrong = np.random.default_rng(0).permutation(code)
        bits, se = lower_bound(WORLD.entropy(level), np.log(p[np.arange(len(code)), wrong] + 1e-30)[None])
        assert bits[0] < 3 * se[0]
    even = np.full((1, 50), -math.log(p.shape[1]))  # who knows nothing and says so bounds nothing
    bits, se = lower_bound(WORLD.entropy(level), even)
    assert bits[0] == pytest.approx(0, abs=1e-9) and se[0] == pytest.approx(0, abs=1e-9)


def test_the_bound_is_the_entropy_less_the_mean_surprise_level_by_level():
    log_q = np.log([[0.5, 0.25], [1.0, 0.125]])
    bits, se = lower_bound(3.0, log_q)
    assert bits == pytest.approx([1.5, 1.5]) and se == pytest.approx([0.5, 1.5])


def test_the_truth_stands_between_the_bound_and_nothing_when_it_is_a_nets_reader(truth):
    """Least <= I <= H(c) at every noise, with a reader that sees half as sharply as Bayes."""
    for sigma in (0.2, 1.0, 4.0):
        p, code = read("long", sigma)
        q = p**0.5 / (p**0.5).sum(1, keepdims=True)
        bits, se = lower_bound(WORLD.entropy("long"), np.log(q[np.arange(len(code)), code])[None])
        k = int(np.abs(np.log(SIGMAS / sigma)).argmin())
        known = from_table(truth, "long", "information")[k]
        assert bits[0] < known + 3 * se[0] + 0.1 and known <= WORLD.entropy("long") + 0.01


def test_the_waves_of_noise_reach_the_net_as_they_were_asked():
    """What `errors` calls sigma is what the denoiser is told."""
    heard: list[float] = []

    class Listens(ExactNet):
        def clean(self, x: Tensor, log_snr_B: Tensor, heard_c: Heard) -> Tensor:
            heard.append(sigma_of(log_snr_B)[0].item())
            return super().clean(x, log_snr_B, heard_c)

    net = Listens(WORLD)
    errors(net, net.words, WORLD, net.say, LEVELS, [0.1, 2.0], 5, 0)
    assert heard == pytest.approx([0.1] * 3 + [2.0] * 3, rel=1e-5)
