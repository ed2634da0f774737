"""Draw from a model known only by a small contract; a sampler never sees the network.

`step(new_BT, cache) -> (logits_BK, cache)`: takes the tokens that are new since the last call (the first
call brings the prefix, possibly empty, and cache None) and gives the logits of the next one. What `cache` is,
is the model's business.

`denoise(x (B, ...), log_snr (B,)) -> x0`: the mean picture behind a noisy one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from falsework.core.errors import Refused
from falsework.noise import like, log_snr_of, sigma_of

Denoise = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


def guide(step: Step, blank: Step, weight: float) -> Step:
    """Return a step whose logits are blank + weight (step - blank): 0 is blank, 1 the step itself, more is away from blank.

    Classifier-free guidance (Ho and Salimans 2022), composed from two steps that share their tokens.
    """

    def guided(new_BT: Tensor, cache: Any) -> tuple[Tensor, Any]:
        own, without = cache or (None, None)
        logits_BK, own = step(new_BT, own)
        blank_BK, without = blank(new_BT, without)
        return blank_BK + weight * (logits_BK - blank_BK), (own, without)

    return guided


def pick(share_BK: Tensor, generator: torch.Generator) -> Tensor:
    """Return int64 (B, 1): one of K, drawn by its share, from one random number a row.

    The number falls in one of K intervals as long as the shares. torch.multinomial draws K numbers a row, which took a
    third of the seconds of a picture. In float64, so that the last interval never leaks into one of no length.
    """
    ends_BK = share_BK.double().cumsum(1)
    at_B1 = torch.rand(len(ends_BK), 1, generator=generator, dtype=torch.float64, device=ends_BK.device)
    return torch.searchsorted(ends_BK, at_B1 * ends_BK[:, -1:], right=True).clamp_(max=ends_BK.shape[1] - 1)


@torch.inference_mode()
def sample_tokens(
    step: Step,
    prefix_BT: Tensor,
    length: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    given_BT: Tensor | None = None,
) -> Tensor:
    """Return (B, length) tokens: `prefix_BT` (B, P) kept, the rest drawn one by one.

    `temperature` > 0 divides the logits; `top_k` keeps only the k likeliest tokens. `given_BT` (B, length): tokens that
    stand already, -1 where one is to be drawn; so a hole anywhere can be filled. Raises Refused for a prefix longer than
    `length`, a temperature that is not positive, a `top_k` below 1, or another shape of `given_BT`.
    """
    if prefix_BT.shape[1] > length:
        raise Refused(f"The prefix has {prefix_BT.shape[1]} tokens, but at most {length} are drawn.")
    if not temperature > 0:
        raise Refused(f"The temperature is {temperature}, but must be above 0.")
    if top_k is not None and top_k < 1:
        raise Refused(f"top_k is {top_k}, but must be 1 or more.")
    if given_BT is not None and given_BT.shape != (len(prefix_BT), length):
        need = (len(prefix_BT), length)
        raise Refused(f"The given tokens have shape {tuple(given_BT.shape)}, but must have {need}, -1 where to draw.")
    tokens_BT, cache, new_BT = [prefix_BT], None, prefix_BT
    for t in range(prefix_BT.shape[1], length):
        logits_BK, cache = step(new_BT, cache)
        logits_BK = logits_BK.float() / temperature
        if top_k is not None:
            best = logits_BK.topk(min(top_k, logits_BK.shape[1]))  # by place, so that equals do not slip in
            logits_BK = torch.full_like(logits_BK, -torch.inf).scatter(1, best.indices, best.values)
        new_BT = pick(logits_BK.softmax(-1), generator)
        if given_BT is not None:
            new_BT = torch.where(given_BT[:, t : t + 1] < 0, new_BT, given_BT[:, t : t + 1])
        tokens_BT.append(new_BT)
    return torch.cat(tokens_BT, 1)


def guide_denoise(
    denoise: Denoise, blank: Denoise, weight: float, low: float = 0.0, high: float = float("inf")
) -> Denoise:
    """Return blank + weight (denoise - blank) where low < sigma < high, and `denoise` alone outside.

    Guidance of pictures (Ho and Salimans 2022), limited to where it helps (Kynkaanniemi et al. 2024). Raises Refused for
    a negative weight.
    """
    if not weight >= 0:
        raise Refused(f"The guidance is {weight}, but must be 0 or more; 1 is none.")

    def guided(x: Tensor, log_snr_B: Tensor) -> Tensor:
        with_words, sigma_B = denoise(x, log_snr_B), sigma_of(log_snr_B)
        inside_B = (sigma_B > low) & (sigma_B < high)
        if weight == 1 or not bool(inside_B.any()):
            return with_words
        without = blank(x, log_snr_B)
        return torch.where(like(inside_B, x), without + weight * (with_words - without), with_words)

    return guided


@torch.inference_mode()
def sample_denoise(denoise: Denoise, x: Tensor, sigmas: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return pictures (B, ...) from x at noise sigmas[0], going down to the last of `sigmas`, float64 (K + 1,), falling.

    Without a generator: Heun's method on the probability flow (EDM, algorithm 1, no churn), which gives the same picture
    for the same x, two evaluations a step. With one: ancestral sampling (Ho et al. 2020), which draws each next level
    from q(x_t | x_s, x0) = N(x0 + t^2/s^2 (x_s - x0), t^2 (1 - t^2/s^2)), one evaluation a step.

    Raises Refused when `sigmas` do not fall.
    """
    if len(sigmas) < 2 or not bool((sigmas.diff() < 0).all()) or not sigmas[-1] >= 0:
        raise Refused("The noise levels must be two or more and fall to 0 or above, each below the one before.")

    for s, t in zip(sigmas[:-1].tolist(), sigmas[1:].tolist()):
        if generator is None:
            x = heun_step(denoise, x, s, t)
            continue
        x0 = _clean(denoise, x, s)
        share = (t / s) ** 2
        x = x0 + share * (x - x0)
        if t:
            x = x + t * (1 - share) ** 0.5 * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return x


def _clean(denoise: Denoise, x: Tensor, sigma: float) -> Tensor:
    return denoise(x, log_snr_of(torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)))


def heun_step(denoise: Denoise, x: Tensor, s: float, t: float) -> Tensor:
    """Return x moved from noise s > 0 to t >= 0, up or down the probability flow dx/ds = (x - D(x, s)) / s (EDM, eq. 3)."""
    slope = (x - _clean(denoise, x, s)) / s
    ahead = x + (t - s) * slope
    if not t:
        return ahead
    slope = 0.5 * (slope + (ahead - _clean(denoise, ahead, t)) / t)
    return x + (t - s) * slope


@torch.inference_mode()
def invert_denoise(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Return the noise latent of pictures: x (B, ...), taken to be at noise sigmas[0] > 0, led up to the last of `sigmas`.

    The flow that `sample_denoise` goes down, gone up (DDIM inversion: Song et al. 2021; Dhariwal and Nichol 2021): going
    down the same levels gives x back, but for the error of the steps. Raises Refused when `sigmas` do not rise.
    """
    if len(sigmas) < 2 or not bool((sigmas.diff() > 0).all()) or not sigmas[0] > 0:
        raise Refused("The noise levels must be two or more and rise from above 0, each above the one before.")
    for s, t in zip(sigmas[:-1].tolist(), sigmas[1:].tolist()):
        x = heun_step(denoise, x, s, t)
    return x
