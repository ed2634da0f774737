"""Noise in its units, steps and draws of it; and what an error counts at each amount."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.nets.dit import ScalarSkip
from falsework.noise import (
    add_noise,
    check_sigma,
    even_sigmas,
    levels,
    like,
    log_snr_of,
    sigma_of,
    stratified,
)
from falsework.objectives.denoise import WEIGHTINGS, denoise_loss

torch.set_num_threads(1)
MIDDLE = (0.5, 2.0)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---- units


def test_sigma_and_log_snr_turn_into_each_other_and_back():
    sigma = torch.logspace(-4, 4, 200, dtype=torch.float64)
    assert torch.allclose(sigma_of(log_snr_of(sigma)), sigma, rtol=1e-14)
    assert torch.allclose(log_snr_of(sigma_of(sigma.log())), sigma.log(), atol=1e-14)
    assert log_snr_of(torch.tensor(1.0)) == 0  # as much noise as one unit of signal
    assert torch.allclose(log_snr_of(sigma), torch.log(1 / sigma**2))  # the ratio is one of powers
    assert (log_snr_of(sigma).diff() < 0).all()


def test_each_picture_gets_noise_of_its_own_amount():
    x, eps = torch.randn(5, 3, 4, 4, generator=generator(0)), torch.randn(5, 3, 4, 4, generator=generator(1))
    log_snr = log_snr_of(torch.tensor([0.1, 0.5, 1.0, 4.0, 30.0]))
    x_s = add_noise(x, eps, log_snr)
    for k, sigma in enumerate((0.1, 0.5, 1.0, 4.0, 30.0)):  # each picture has an amount of its own
        assert torch.allclose(x_s[k], x[k] + sigma * eps[k], atol=1e-5)
    assert torch.equal(like(log_snr, x), log_snr[:, None, None, None]) and like(log_snr, log_snr).shape == (5,)


def test_noise_adds_its_variance_to_that_of_the_picture():
    x, eps = 0.6 * torch.randn(4, 60_000, generator=generator(0)), torch.randn(4, 60_000, generator=generator(1))
    sigma = torch.tensor([0.1, 0.6, 2.0, 9.0])
    assert torch.allclose(add_noise(x, eps, log_snr_of(sigma)).var(1), 0.36 + sigma**2, rtol=0.03)


# ---- steps


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_the_steps_of_a_sampler_are_even_in_a_root_of_sigma_and_end_at_nought(rho):
    sigmas = levels(9, 0.05, 40.0, rho)
    assert len(sigmas) == 10 and sigmas.dtype == torch.float64 and sigmas[-1] == 0
    assert sigmas[0].item() == pytest.approx(40, rel=1e-12) and sigmas[-2].item() == pytest.approx(0.05, rel=1e-12)
    roots = sigmas[:-1] ** (1 / rho)
    assert torch.allclose(roots.diff(), roots.diff()[0].expand(8), rtol=1e-9) and (sigmas.diff() < 0).all()


def test_the_larger_rho_the_more_steps_are_spent_on_little_noise():
    small = [(levels(40, 0.05, 40.0, rho) < 1).sum().item() for rho in (1.0, 2.0, 4.0, 7.0, 20.0)]
    assert small == sorted(small) and len(set(small)) == 5


@pytest.mark.parametrize(
    ("count", "low", "high"), [(1, 0.1, 1.0), (9, 1.0, 1.0), (9, 2.0, 1.0), (9, 0.0, 1.0), (9, float("nan"), 1.0)]
)
def test_fewer_than_two_steps_and_ends_that_do_not_rise_from_above_nought_are_refused(count, low, high):
    with pytest.raises(Refused, match=rf"^Got {count} steps from {high} to {low}, but need two or more.*above 0\.$"):
        levels(count, low, high)


def test_even_sigmas_are_the_middles_of_parts_of_one_length_in_the_logarithm():
    at = even_sigmas(12, 0.2, 8.0).log()
    part = math.log(40) / 12
    assert torch.allclose(at.diff(), torch.full((11,), part, dtype=at.dtype))
    assert at[0].item() == pytest.approx(math.log(0.2) + part / 2) and at[-1].item() == pytest.approx(
        math.log(8) - part / 2
    )


# ---- draws


def test_each_part_of_the_range_is_drawn_from_once_and_evenly_inside():
    n, low, high = 64, 0.06, 64.0
    place = []
    for seed in range(50):
        sigma = sigma_of(stratified(n, low, high, generator(seed)).double())
        at = (sigma / low).log() / math.log(high / low) * n
        assert at.floor().tolist() == list(range(n))  # one in each, in order
        place.append(at - at.floor())
    inside = torch.stack(place)
    assert stats.kstest(inside.flatten().numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(inside[:, 5].numpy(), "uniform").pvalue > 1e-3  # also of one part alone
    again = [stratified(n, low, high, generator(seed)) for seed in (3, 3, 4)]
    assert torch.equal(again[0], again[1]) and not torch.equal(again[0], again[2])


def test_a_mean_over_all_noise_varies_less_when_every_part_is_drawn_from():
    even = torch.stack([stratified(16, 0.1, 10.0, generator(k)).square().mean() for k in range(300)])
    free = [(-2 * (math.log(0.1) + math.log(100) * torch.rand(16, generator=generator(k)))) for k in range(300)]
    apart = torch.stack([x.square().mean() for x in free])
    assert even.mean().item() == pytest.approx(apart.mean().item(), abs=4 * apart.std().item() / math.sqrt(300))
    assert even.var() < apart.var() / 20


# ---- the range that a net was trained in


def test_a_sigma_inside_the_range_is_itself_and_so_is_one_that_was_rounded_out_of_it():
    for sigma in (0.06, 1.0, 64.0, float(np.float32(0.06)), float(np.float32(64.0)), 64 * (1 + 5e-7)):
        assert check_sigma(sigma, 0.06, 64.0) == sigma
    assert type(check_sigma(np.float64(1.0), 0.06, 64.0)) is float


@pytest.mark.parametrize("sigma", [0.059, 64.1, 0.0, -1.0, float("inf"), float("nan")])
def test_another_sigma_is_refused_with_what_was_given_and_both_ends(sigma):
    with pytest.raises(Refused, match=rf"^The noise is sigma {sigma:g}, but this net was trained from 0.06 to 64\.$"):
        check_sigma(sigma, 0.06, 64.0)


# ---- what an error counts


class Seen(nn.Module):
    """A net that keeps the noise levels it is asked about and answers by a function of what it sees."""

    def __init__(self, answer, variance: float = 0.5) -> None:
        super().__init__()
        self.answer, self.skip = answer, ScalarSkip(torch.tensor(0.0), torch.tensor(variance))
        self.sigmas = torch.empty(0)

    def forward(self, x: Tensor, log_snr_B: Tensor, ids: Tensor) -> Tensor:
        self.sigmas = sigma_of(log_snr_B)
        return self.answer(self, x, self.sigmas)


def pay(model: Seen, pictures: Tensor, weighting: str, seed: int = 0, share: float = 0.0) -> tuple[float, float]:
    """Return loss and bare error of a batch."""
    loss = denoise_loss(WEIGHTINGS[weighting], 0.05, 50.0, MIDDLE, share)
    batch = {"pictures": pictures, "ids": torch.zeros(len(pictures), 1)}
    value, metrics = loss(model, batch, generator(seed))
    return value.item(), metrics["bare"].item()


def test_an_error_costs_half_its_square_times_what_it_counts_at_its_noise():
    model = Seen(lambda net, x, sigma: like(torch.arange(1.0, 9.0), x).expand_as(x))  # pictures of nought: error k
    rest = {
        "likelihood": lambda s: s**-2,
        "rest": lambda s: (0.5 + s**2) / (0.5 * s**2),
    }
    for name in WEIGHTINGS:
        weight = rest[name]
        value, bare = pay(model, torch.zeros(8, 3, 2, 2), name)
        by_hand = sum(weight(s) * k**2 / 2 for k, s in enumerate(model.sigmas.tolist(), 1)) / 8
        assert value == pytest.approx(by_hand, rel=1e-5) and bare == pytest.approx(sum(k**2 for k in range(1, 9)) / 8)


def test_the_best_linear_answer_pays_one_half_at_any_noise_when_errors_are_measured_by_what_it_leaves():
    model = Seen(lambda net, x, sigma: net.skip.guess(x, sigma))
    pictures = math.sqrt(0.5) * torch.randn(3000, 3, 4, 4, generator=generator(1))
    assert pay(model, pictures, "rest")[0] == pytest.approx(0.5, rel=0.02)
    for seed in range(5):  # and the same where there is little noise alone, or much
        loss = denoise_loss(WEIGHTINGS["rest"], 10.0**-seed, 10.0 ** (2 - seed), MIDDLE, 0.0)
        batch = {"pictures": pictures, "ids": torch.zeros(3000, 1)}
        assert loss(model, batch, generator(seed))[0].item() == pytest.approx(0.5, rel=0.02)


def test_weighted_by_likelihood_twice_the_loss_over_all_noise_is_the_information_of_the_picture():
    """int mmse / s^2 d ln s = 1/2 ln(1 + v / s_low^2) nats for each number of a Gaussian picture."""
    model = Seen(lambda net, x, sigma: net.skip.guess(x, sigma))
    pictures = math.sqrt(0.5) * torch.randn(6000, 3, 4, 4, generator=generator(2))
    nats = 2 * pay(model, pictures, "likelihood")[0] * math.log(50 / 0.05)
    assert nats == pytest.approx(0.5 * math.log((1 + 0.5 / 0.05**2) / (1 + 0.5 / 50**2)), rel=0.02)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.7, 1.0])
def test_a_share_of_every_batch_lies_in_the_middle_range_and_the_rest_anywhere(share):
    model = Seen(lambda net, x, sigma: x)
    pay(model, torch.zeros(400, 3, 2, 2), "rest", share=share)
    inside = ((model.sigmas > MIDDLE[0]) & (model.sigmas < MIDDLE[1])).float().mean().item()
    by_chance = math.log(4) / math.log(1000)
    assert inside == pytest.approx(share + (1 - share) * by_chance, abs=0.006)
    if share < 1:
        assert model.sigmas.min() < 0.06 and model.sigmas.max() > 45
