"""Noise: how much of it, in which unit, and what follows from it. The only place where these are turned into each other.

    x_s = x + s eps,   eps ~ N(0, 1)        (variance exploding; Karras et al. 2022, "EDM")
    sigma = s, in the range of the pictures [-1, 1];   log-SNR = -2 ln s, what nets and samplers are given

Dimension key: B batch, K noise levels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from falsework.core.errors import Refused

SPREAD = 0.35  # about the variance of a number of a picture


def log_snr_of(sigma: Tensor) -> Tensor:
    """Return -2 ln sigma."""
    return -2 * sigma.log()


def sigma_of(log_snr: Tensor) -> Tensor:
    """Return exp(-log_snr / 2), the inverse of `log_snr_of`."""
    return (-0.5 * log_snr).exp()


def like(values_B: Tensor, x: Tensor) -> Tensor:
    """Return values (B,) shaped to multiply pictures (B, ...)."""
    return values_B.view(-1, *[1] * (x.ndim - 1))


def add_noise(x: Tensor, eps: Tensor, log_snr_B: Tensor) -> Tensor:
    """Return x + sigma eps."""
    return x + like(sigma_of(log_snr_B), x) * eps


def shrunk(x: Tensor, sigma_B: Tensor) -> Tensor:
    """Return noisy pictures divided by about their own size, sqrt(sigma^2 + SPREAD): what nets look at."""
    return x * like(torch.rsqrt(sigma_B**2 + SPREAD), x)


def levels(count: int, low: float, high: float, rho: float = 7.0) -> Tensor:
    """Return sigmas (count + 1,) from `high` down to `low` and then 0, float64: the steps of a sampler (EDM, eq. 5).

    rho: 7 is the paper's; the larger, the more steps near `low`. Raises Refused for fewer than two steps, and when not
    0 < low < high.
    """
    if count < 2 or not 0 < low < high:
        raise Refused(
            f"Got {count} steps from {high} to {low}, but need two or more, from a larger sigma to one above 0."
        )
    ends = [s ** (1 / rho) for s in (high, low)]
    at = torch.linspace(0, 1, count, dtype=torch.float64)
    return torch.cat([(ends[0] + at * (ends[1] - ends[0])) ** rho, at.new_zeros(1)])


def even_sigmas(count: int, low: float, high: float) -> Tensor:
    """Return sigmas (count,), rising: the middles of `count` parts of [low, high], even in ln sigma, float64."""
    at = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return low * (high / low) ** at


def stratified(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Return log-SNR (count,), ln sigma even in [ln low, ln high]: one drawn in each of `count` equal parts, in order.

    A batch then always holds clean and noisy pictures, and its loss varies less than with independent draws.
    """
    device = generator.device
    at_B = (torch.arange(count, device=device) + torch.rand(count, generator=generator, device=device)) / count
    return -2 * (math.log(low) + at_B * math.log(high / low))


def check_sigma(sigma: float, low: float, high: float) -> float:
    """Return sigma; raises Refused when it is no number in [low, high], the range that a net was trained in."""
    slack = 1e-6  # a level written in float32 may lie a hair outside
    if not low * (1 - slack) <= sigma <= high * (1 + slack):
        raise Refused(f"The noise is sigma {sigma:g}, but this net was trained from {low:g} to {high:g}.")
    return float(sigma)
