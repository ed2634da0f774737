"""Take the noise out of a picture, whatever its amount: the loss of every diffusion model here (Ho et al. 2020; EDM).

    E over x, eps and ln sigma of  w |x - D(x + sigma eps)|^2 / 2     (with w = 2 / sigma^2, nats per e-fold of noise)

A weighting says what an error counts at a sigma, given `rest`, the deviation per number that the net's skip leaves there.

Dimension key: B batch, S side of a picture, T caption length in tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from falsework.noise import add_noise, like, sigma_of, stratified

Loss = Callable[[nn.Module, dict[str, Tensor], torch.Generator], tuple[Tensor, dict[str, Tensor]]]
Weighting = Callable[[Tensor, Tensor], Tensor]  # (sigma (B,), rest (B,)) -> (B,)


def by_likelihood(sigma_B: Tensor, rest_B: Tensor) -> Tensor:
    """Return 1 / sigma^2: an error counts by what it costs in nats; most of them lie in the last specks."""
    return sigma_B**-2


def by_rest(sigma_B: Tensor, rest_B: Tensor) -> Tensor:
    """Return 1 / rest^2: an error counts by its share of what a linear denoiser gets wrong; every sigma weighs the same."""
    return rest_B**-2


WEIGHTINGS: dict[str, Weighting] = {"likelihood": by_likelihood, "rest": by_rest}


def denoise_loss(
    weighting: Weighting,
    low: float,
    high: float,
    middle: tuple[float, float],
    share: float,
    of: str = "pictures",
    told: tuple[str, ...] = ("ids",),
) -> Loss:
    """Return the objective for batches that hold floats (B, ...) under the name `of`, and what goes with them, `told`.

    For pictures: float (B, 3, S, S) in [-1, 1], and "ids" int64 (B, T).

    ln sigma is even in [ln low, ln high], and `share` of each batch even in the narrower range `middle`. Metric "bare":
    the mean |x - D|^2 per number without a weight.
    """

    def loss(
        model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        x = batch[of]
        inner = round(share * len(x))
        parts = [stratified(n, *ends, generator) for n, ends in ((inner, middle), (len(x) - inner, (low, high))) if n]
        log_snr_B = torch.cat(parts)
        eps = torch.randn(x.shape, generator=generator, device=x.device)
        error = model(add_noise(x, eps, log_snr_B), log_snr_B, *(batch[name] for name in told)) - x
        sigma_B = sigma_of(log_snr_B)
        weight = weighting(sigma_B, model.skip.rest(sigma_B))  # type: ignore[operator,union-attr]
        square = error.square()
        return 0.5 * (like(weight, x) * square).mean(), {"bare": square.detach().mean()}

    return loss
