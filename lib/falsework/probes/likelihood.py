"""What a model pays for each token of a picture, and where in the picture the payment falls.

Dimension key: N pictures, T tokens (pixels in raster order), R regions.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


@torch.inference_mode()
def bits_per_token(model: nn.Module, ids_NT: np.ndarray, batch: int = 64) -> np.ndarray:
    """Return float32 (N, T): -log2 p(token_t | tokens before t), the code length in bits (Shannon 1948)."""
    device = next(model.parameters()).device
    out = []
    for i in range(0, len(ids_NT), batch):
        ids_BT = torch.from_numpy(ids_NT[i : i + batch].astype(np.int64)).to(device)
        nats = F.cross_entropy(model(ids_BT).flatten(0, 1), ids_BT.flatten(), reduction="none")
        out.append(nats.view(ids_BT.shape).float().cpu().numpy() / math.log(2))
    return np.concatenate(out)


def neighbour_bits(train_NT: np.ndarray, test_NT: np.ndarray, side: int, colours: int) -> dict[str, float]:
    """Return bits per pixel of three models that need no training, on `test_NT`: floors for any learned one.

    "uniform": log2 K. "frequency": each colour by its share. "copy": the left pixel's colour with one learned
    probability, else by frequency. Shares come from `train_NT`, one pseudo-count a colour.
    """
    counts = np.bincount(train_NT.reshape(-1), minlength=colours) + 1.0
    share = counts / counts.sum()

    def left(ids_NT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = ids_NT.reshape(len(ids_NT), side, side)
        return rows[:, :, :-1].reshape(-1), rows[:, :, 1:].reshape(-1)

    before, after = left(train_NT)
    p_same = (before == after).mean()
    # p(same) = stay + (1 - stay) * p(colour): solve for the one probability on the average pixel
    stay = np.clip((p_same - (share**2).sum()) / (1 - (share**2).sum()), 0.0, 1 - 1e-6)
    before, after = left(test_NT)
    p_copy = (1 - stay) * share[after] + stay * (before == after)
    first = -np.log2(share[test_NT.reshape(len(test_NT), side, side)[:, :, 0]]).sum()
    return {
        "uniform": math.log2(colours),
        "frequency": float(-np.log2(share[test_NT]).mean()),
        "copy": float((first - np.log2(p_copy).sum()) / test_NT.size),
    }
