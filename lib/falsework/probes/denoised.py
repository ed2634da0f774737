"""A trained denoiser at work: what it makes of one noisy picture, of pure noise, and what its blocks hold meanwhile.

Dimension key: N pictures, S side in pixels, D = 3 S^2 numbers in the order rows, columns, colours, T patches, C width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from falsework.core.vocabulary import Vocabulary
from falsework.noise import check_sigma, levels, log_snr_of
from falsework.recipes.pairs import as_tensor
from falsework.samplers import guide_denoise, sample_denoise
from falsework.training import generator_of

BLOCK = 256
HELPS = (0.3, 8.0)  # sigmas between which guidance is used: below it burns in, above it costs variety


@torch.inference_mode()
def imagine(model: Any, words: Vocabulary, x_s: np.ndarray, sigma: float, captions: Sequence[str]) -> np.ndarray:
    """Return what a net makes of noisy pictures float32 (N, D) at one sigma, told captions (N): float32 (N, D).

    Raises Refused for sigma outside the range that the net was trained in.
    """
    check_sigma(sigma, *model.range)
    side, device = model.net.side, next(model.parameters()).device
    ids, out = torch.from_numpy(words.padded(captions)), []
    for i in range(0, len(x_s), BLOCK):
        block = as_tensor(x_s[i : i + BLOCK].reshape(-1, side, side, 3)).to(device)
        log_snr = log_snr_of(torch.full((len(block),), sigma, device=device))
        x0 = model(block, log_snr, ids[i : i + BLOCK].to(device))
        out.append(x0.permute(0, 2, 3, 1).flatten(1).float().cpu().numpy())
    return np.concatenate(out)


@torch.inference_mode()
def film(
    model: Any,
    words: Vocabulary,
    captions: Sequence[str],
    *keys: object,
    steps: int = 24,
    guidance: float = 1.0,
    ancestral: bool = False,
) -> np.ndarray:
    """Return drawings of captions as they come out of the noise: float32 (steps + 1, N, S, S, 3), the last one finished.

    Every frame but the last is what the net believes at that noise level. Noise is a function of the keys, whatever the
    captions. Raises Refused for a negative guidance and fewer than two steps.
    """
    side, device = model.net.side, next(model.parameters()).device
    sigmas, frames = levels(steps, *model.range), []
    for i in range(0, len(captions), BLOCK):
        ids = torch.from_numpy(words.padded(captions[i : i + BLOCK])).to(device)
        denoise = guide_denoise(model.told(ids), model.told(torch.zeros_like(ids)), guidance, *HELPS)
        dice = generator_of(*keys, i, device=device.type)
        x = float(sigmas[0]) * torch.randn(len(ids), 3, side, side, generator=dice, device=device)
        seen: dict[float, torch.Tensor] = {}

        def watched(x: torch.Tensor, log_snr: torch.Tensor, denoise: Any = denoise, seen: Any = seen) -> torch.Tensor:
            x0 = denoise(x, log_snr)
            seen.setdefault(round(float(log_snr[0]), 4), x0)
            return x0

        last = sample_denoise(watched, x, sigmas, dice if ancestral else None)
        kept = [seen[at] for at in sorted(seen)][:steps]
        frames.append(torch.stack([*kept, last]).permute(0, 1, 3, 4, 2).float().cpu().numpy())
    return np.concatenate(frames, 1)


@torch.inference_mode()
def layers(model: Any, x_s: np.ndarray, sigma: float) -> list[np.ndarray]:
    """Return depth + 1 residual streams float32 (N, T, C), the patches first, of pictures (N, S, S, 3), told nothing.

    Raises Refused for sigma outside the range that the net was trained in.
    """
    check_sigma(sigma, *model.range)
    device, parts = next(model.parameters()).device, []
    for i in range(0, len(x_s), BLOCK):
        block = as_tensor(x_s[i : i + BLOCK]).to(device)
        log_snr = log_snr_of(torch.full((len(block),), sigma, device=device))
        ids = torch.zeros(len(block), model.net.words.length, dtype=torch.long, device=device)
        parts.append([x.float().cpu().numpy() for x in model.layers(block, log_snr, ids)])
    return [np.concatenate(layer) for layer in zip(*parts)]
