"""Linear probes: what can be read from features with one matrix (Alain and Bengio 2016).

The probe is least squares with a ridge onto one-hot labels, in closed form: no rate, no seed, no stopping.
Dimension key: N pictures, D features, K classes, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from falsework.core.errors import Refused

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # relative to the mean squared singular value of the features


@torch.inference_mode()
def layer_features(model: Any, ids_NT: np.ndarray, batch: int = 64) -> np.ndarray:
    """Return float32 (L, N, D): every layer's residual stream, averaged over positions (mean pooling)."""
    device = next(model.parameters()).device
    out = []
    for i in range(0, len(ids_NT), batch):
        ids_BT = torch.from_numpy(ids_NT[i : i + batch].astype(np.int64)).to(device)
        out.append(np.stack([x.mean(1).float().cpu().numpy() for x in model.layers(ids_BT)]))
    return np.concatenate(out, 1)


def ridge_fit(x_ND: np.ndarray, y_N: np.ndarray, classes: int, ridges: Sequence[float] = RIDGES) -> np.ndarray:
    """Return weights (len(ridges), D + 1, K) of ridge regressions onto one-hot labels, the last row the offset.

    Minimises |XW - Y|^2 + lambda |W|^2 on centred features through one SVD, so N > D and N < D are the same
    code; `ridges` are lambda / mean(s^2). Raises Refused when a label lies outside 0 .. K - 1.
    """
    wrong = y_N[(y_N < 0) | (y_N >= classes)]
    if len(wrong):
        raise Refused(f"A label is {int(wrong[0])}, but labels must lie in 0 to {classes - 1}.")
    mean = x_ND.mean(0)
    y_NK = np.eye(classes)[y_N]
    u, s, vt = np.linalg.svd((x_ND - mean).astype(np.float64), full_matrices=False)
    uy = u.T @ (y_NK - y_NK.mean(0))
    out = []
    for ridge in ridges:
        w_DK = vt.T @ (uy * (s / (s**2 + ridge * (s**2).mean() + 1e-12))[:, None])
        out.append(np.vstack([w_DK, y_NK.mean(0) - mean @ w_DK]))
    return np.stack(out)


def predict(w: np.ndarray, x_ND: np.ndarray) -> np.ndarray:
    """Return the class (N,) with the largest score for weights (D + 1, K)."""
    return (x_ND @ w[:-1] + w[-1]).argmax(1)


def balanced_accuracy(guess_N: np.ndarray, truth_N: np.ndarray) -> float:
    """Return the mean over classes of the share recognised, in [0, 1]: chance is 1 / K whatever the class sizes."""
    return float(np.mean([(guess_N[truth_N == k] == k).mean() for k in np.unique(truth_N)]))


def probe_accuracy(
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: int,
) -> tuple[float, float]:
    """Return balanced (validation, test) accuracy of a probe on (features (N, D), labels (N,)) pairs.

    The ridge is chosen on the validation set alone; the test set is looked at once.
    """
    scale = train[0].std(0) + 1e-6
    fits = ridge_fit(train[0] / scale, train[1], classes)
    vals = [balanced_accuracy(predict(w, val[0] / scale), val[1]) for w in fits]
    best = int(np.argmax(vals))
    return vals[best], balanced_accuracy(predict(fits[best], test[0] / scale), test[1])
