"""What a model pays for each token of a picture, and where in the picture the payment falls.

Dimension key: N pictures, T tokens (pixels in raster order), R regions.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

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


LETTER_BITS = math.log2(27)  # a letter or the end of the word, all alike


def caption_code_bits(train: list[str], val: list[str], test: list[str]) -> np.ndarray:
    """Return float64 (len(test),): the code length in bits of unseen captions under a small open-vocabulary model.

    Each word is guessed from the last one, mixed with its overall share (a bigram with Dirichlet smoothing, MacKay and
    Peto 1995), and a word never seen is spelled letter by letter. The weight of the mix is chosen on `val`. A code length is
    never below the entropy on average, so this bounds from above what captions can tell.
    """
    words, pairs, heads = Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    for text in train:
        told = [".", *text.split(), "."]
        words.update(told[1:])
        pairs.update(pairwise(told))
        heads.update(told[:-1])
    total, kinds = words.total(), len(words) + 1

    def length(text: str, weight: float) -> float:
        told, bits = [".", *text.split(), "."], 0.0
        for before, word in pairwise(told):
            share = (words[word] + 0.5) / (total + 0.5 * kinds)
            bits -= math.log2((pairs[before, word] + weight * share) / (heads[before] + weight))
            bits += 0 if words[word] else LETTER_BITS * (len(word) + 1)
        return bits

    best = min((1.0, 3.0, 10.0, 30.0, 100.0), key=lambda w: sum(length(t, w) for t in val))
    return np.array([length(t, best) for t in test])
