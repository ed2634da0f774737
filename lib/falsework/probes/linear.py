"""Linear probes: what can be read from features with one matrix (Alain and Bengio 2016), after mean or attention pooling.

The probe is least squares with a ridge onto one-hot labels, in closed form: no rate, no seed, no stopping. Whatever is
chosen (ridge, layer, query) is chosen on validation; every accuracy is balanced, so chance is 1 / K.
Dimension key: N pictures, T positions, D features, K classes, L layers, R rank, F factors, G queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from falsework.core.errors import Refused

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # relative to the mean squared singular value of the features
DECAYS = (0.01, 0.1, 1.0)  # AdamW's weight decay of query and head
CHECK = 20  # steps between two looks at validation

# ---- features


@torch.inference_mode()
def _streams(model: Any, ids_NT: np.ndarray, batch: int) -> Iterator[list[Tensor]]:
    device = next(model.parameters()).device
    for i in range(0, len(ids_NT), batch):
        yield model.layers(torch.from_numpy(ids_NT[i : i + batch].astype(np.int64)).to(device))


def layer_features(model: Any, ids_NT: np.ndarray, batch: int = 64) -> np.ndarray:
    """Return float32 (L, N, D): every layer's residual stream, averaged over positions (mean pooling)."""
    out = [np.stack([x.mean(1).float().cpu().numpy() for x in xs]) for xs in _streams(model, ids_NT, batch)]
    return np.concatenate(out, 1)


def layer_tokens(model: Any, ids_NT: np.ndarray, layer: int, batch: int = 64) -> np.ndarray:
    """Return float16 (N, T, D): one layer's residual stream at every position, layer 0 the stem.

    Half precision halves the memory (2 N T D bytes). Raises Refused when the model has no such layer.
    """
    out = []
    for xs in _streams(model, ids_NT, batch):
        if not 0 <= layer < len(xs):
            raise Refused(f"The layer is {layer}, but must lie in 0 to {len(xs) - 1}.")
        out.append(xs[layer].half().cpu().numpy())
    return np.concatenate(out)


@torch.inference_mode()
def tower_layers(tower: Any, pictures: np.ndarray, batch: int = 256) -> list[np.ndarray]:
    """Return a list of float16 (N, M, D), one for each layer of an image tower, of pictures uint8 (N, S, S, 3)."""
    device, parts = next(tower.parameters()).device, []
    for i in range(0, len(pictures), batch):
        block = torch.from_numpy(np.ascontiguousarray(pictures[i : i + batch].transpose(0, 3, 1, 2)))
        parts.append([x.half().cpu().numpy() for x in tower.layers(block.to(device))])
    return [np.concatenate(layer) for layer in zip(*parts)]


def few_shot_rows(labels_N: np.ndarray, shots: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Return row numbers (shots * classes,), class by class: `shots` of each class, drawn without replacement.

    Raises Refused when `shots` is below 1 or one of the classes 0 .. K - 1 has fewer rows than that.
    """
    have = [np.flatnonzero(labels_N == k) for k in range(classes)]
    fewest = min(range(classes), key=lambda k: len(have[k]))
    if not 1 <= shots <= len(have[fewest]):
        most = f"the {len(have[fewest])} rows of class {fewest}"
        raise Refused(f"The shots per class are {shots}, but must be at least 1 and at most {most}.")
    return np.concatenate([rng.choice(rows, shots, replace=False) for rows in have])


# ---- the probe in closed form


class Svd(NamedTuple):
    """(x - mean) / scale = u s vt, null directions left out. It knows no labels: many factors can share it."""

    mean_D: np.ndarray
    scale_D: np.ndarray
    u_NR: np.ndarray
    s_R: np.ndarray
    vt_RD: np.ndarray


def spread(x_ND: np.ndarray) -> np.ndarray:
    """Return (D,): the standard deviation of each feature, kept above zero."""
    return x_ND.std(0) + 1e-6


def decompose(x_ND: np.ndarray, scale_D: np.ndarray | None = None) -> Svd:
    """Return the SVD of centred features, each divided by its scale (default 1): the costly half of `ridge_fit`."""
    mean = x_ND.mean(0)
    scale = np.ones_like(mean) if scale_D is None else scale_D
    u, s, vt = np.linalg.svd(((x_ND - mean) / scale).astype(np.float64), full_matrices=False)
    keep = s > s[0] * max(x_ND.shape) * np.finfo(float).eps  # as numpy's lstsq decides on rank
    return Svd(mean, scale, u[:, keep], s[keep], vt[keep])


def _check_labels(y_N: np.ndarray, classes: int) -> None:
    wrong = y_N[(y_N < 0) | (y_N >= classes)]
    if len(wrong):
        raise Refused(f"A label is {int(wrong[0])}, but labels must lie in 0 to {classes - 1}.")


def ridge_solve(svd: Svd, y_N: np.ndarray, classes: int, ridges: Sequence[float] = RIDGES) -> np.ndarray:
    """Return weights (len(ridges), D + 1, K) for features as they came, the last row the offset: the cheap half.

    Raises Refused when a label lies outside 0 .. K - 1.
    """
    _check_labels(y_N, classes)
    y_NK = np.eye(classes)[y_N]
    uy = svd.u_NR.T @ (y_NK - y_NK.mean(0))
    s2 = svd.s_R**2
    mean_s2 = s2.sum() / min(len(y_N), len(svd.mean_D))  # over every direction, the null ones too
    out = []
    for ridge in ridges:
        w_DK = svd.vt_RD.T @ (uy * (svd.s_R / (s2 + ridge * mean_s2))[:, None]) / svd.scale_D[:, None]
        out.append(np.vstack([w_DK, y_NK.mean(0) - svd.mean_D @ w_DK]))
    return np.stack(out)


def ridge_fit(x_ND: np.ndarray, y_N: np.ndarray, classes: int, ridges: Sequence[float] = RIDGES) -> np.ndarray:
    """Return weights (len(ridges), D + 1, K) of ridge regressions onto one-hot labels, the last row the offset.

    Minimises |XW - Y|^2 + lambda |W|^2 on centred features through one SVD, so N > D and N < D are the same
    code; `ridges` are lambda / mean(s^2). Raises Refused when a label lies outside 0 .. K - 1.
    """
    return ridge_solve(decompose(x_ND), y_N, classes, ridges)


def predict(w: np.ndarray, x_ND: np.ndarray) -> np.ndarray:
    """Return the class (N,) with the largest score for weights (D + 1, K)."""
    return (x_ND @ w[:-1] + w[-1]).argmax(1)


def balanced_accuracy(guess_N: np.ndarray, truth_N: np.ndarray) -> float:
    """Return the mean over classes of the share recognised, in [0, 1]: chance is 1 / K whatever the class sizes."""
    return float(np.mean([(guess_N[truth_N == k] == k).mean() for k in np.unique(truth_N)]))


def range_share(accuracy: float, chance: float, ceiling: float = 1.0) -> float:
    """Return how far an accuracy is on the way from chance (0) to the ceiling (1); below 0 it is worse than chance.

    Raises Refused when the ceiling is not above chance.
    """
    if not ceiling > chance:
        raise Refused(f"The ceiling is {ceiling:g}, but must be above chance, {chance:g}.")
    return (accuracy - chance) / (ceiling - chance)


Split = tuple[np.ndarray, np.ndarray]  # features, labels


def _read(svd: Svd, y_N: np.ndarray, val: Split, test: Split, classes: int) -> tuple[float, float]:
    """Return balanced (validation, test) accuracy with the ridge that is best on validation."""
    fits = ridge_solve(svd, y_N, classes)
    vals = [balanced_accuracy(predict(w, val[0]), val[1]) for w in fits]
    best = int(np.argmax(vals))
    return vals[best], balanced_accuracy(predict(fits[best], test[0]), test[1])


def probe_accuracy(train: Split, val: Split, test: Split, classes: int) -> tuple[float, float]:
    """Return balanced (validation, test) accuracy of a probe on (features (N, D), labels (N,)) pairs.

    The ridge is chosen on the validation set alone; the test set is looked at once.
    """
    return _read(decompose(train[0], spread(train[0])), train[1], val, test, classes)


# ---- every layer


class LayerProbe(NamedTuple):
    """Balanced accuracy of each layer, ridge chosen on validation; `best` is the layer that is best on validation."""

    val_L: np.ndarray
    test_L: np.ndarray
    best: int


def layer_svds(features_LND: np.ndarray) -> list[Svd]:
    """Return one SVD a layer of standardised features, for `probe_layers` of several factors."""
    return [decompose(x, spread(x)) for x in features_LND]


def probe_layers(
    features: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    classes: int,
    shots: int | None = None,
    rng: np.random.Generator | None = None,
    svds: Sequence[Svd] | None = None,
) -> LayerProbe:
    """Probe (L, N, D) features for (N,) labels, both by split (train, val, test); report `test_L[best]`.

    With `shots` the probe learns from that many labels a class, the same rows in every layer, drawn by `rng`; all
    training pictures still set the scale of a feature, for that needs no label, and all of validation still chooses,
    so this is few-shot learning but not "true few-shot" (Perez et al. 2021). Without shots, `svds` from
    `layer_svds(features["train"])` save the SVD. Raises Refused as `few_shot_rows` does, and for shots without rng.
    """
    x_LND, y_N = features["train"], labels["train"]
    if shots is not None:
        if rng is None:
            raise Refused(f"The shots per class are {shots} without rng, but drawing them needs one.")
        rows = few_shot_rows(y_N, shots, classes, rng)
        svds, y_N = [decompose(x[rows], spread(x)) for x in x_LND], y_N[rows]
    found = []
    for layer, svd in enumerate(svds or layer_svds(x_LND)):
        val, test = ((features[s][layer], labels[s]) for s in ("val", "test"))
        found.append(_read(svd, y_N, val, test, classes))
    val_L, test_L = np.array(found).T
    return LayerProbe(val_L, test_L, int(val_L.argmax()))


# ---- attention pooling


class PoolProbe(NamedTuple):
    """Balanced accuracies after attention pooling by `query_D`, and after mean pooling (the query of zeros).

    `val` is the best of all that was tried on validation, hence flattered; `test` was looked at once. The attention of
    a picture is softmax(x_TD @ query_D), in features as they came.
    """

    val: float
    test: float
    mean_val: float
    mean_test: float
    query_D: np.ndarray


def attention_pool(x_NTD: np.ndarray, queries_GD: np.ndarray, batch: int = 256) -> np.ndarray:
    """Return float32 (G, N, D): sum_t softmax_t(query . x_t) x_t. A query of zeros is mean pooling."""
    q_GD, out = torch.from_numpy(queries_GD).float(), []
    for i in range(0, len(x_NTD), batch):
        out.append(_pool(torch.from_numpy(x_NTD[i : i + batch]).float(), q_GD))
    return torch.cat(out, 1).numpy()


def _pool(x_NTD: Tensor, q_GD: Tensor) -> Tensor:
    return torch.bmm((x_NTD @ q_GD.T).softmax(1).mT, x_NTD).transpose(0, 1)


def attention_probe(
    train: Split,
    val: Split,
    test: Split,
    classes: Sequence[int],
    rng: np.random.Generator,
    steps: int = 300,
    batch: int = 128,
    lr: float = 0.02,
) -> list[PoolProbe]:
    """Probe (features (N, T, D), labels (N, F)) pairs through ONE learned query a factor (after Ilse et al. 2018).

    Query (from zero: mean pooling) and softmax head are trained by AdamW on cross-entropy; weight decay and number of
    steps are chosen on validation. The pooled features are then read by the same ridge probe as mean-pooled ones, so
    that the two differ in the pooling alone, and the query of zeros stays a candidate: where validation gains nothing,
    the answer IS mean pooling. Factors share batches and cost, never parameters: each is found as it would be alone.
    Equal `rng`, equal answer. Raises Refused when labels and classes do not fit.
    """
    for _, y_NF in (train, val, test):
        if y_NF.ndim != 2 or y_NF.shape[1] != len(classes):
            raise Refused(f"The labels have shape {y_NF.shape}, but must be pictures by {len(classes)} factors.")
    for y_N, K in zip(train[1].T, classes):
        _check_labels(y_N, K)
    x_NTD, y_NF = train
    zero_D = np.zeros(x_NTD.shape[2], np.float32)
    flat = [attention_pool(x, zero_D[None])[0] for x, _ in (train, val, test)]
    some = x_NTD[:: max(1, len(x_NTD) // 500)].reshape(-1, len(zero_D)).astype(np.float32)
    # a step of the query has equal weight in every feature; pooling subtracts no mean, for the softmax ignores it
    scale_D = torch.from_numpy(spread(some))
    # the head sees mean-pooled features at unit scale: averaging over positions has made them small
    centre_D, spread_D = torch.from_numpy(flat[0].mean(0)), torch.from_numpy(spread(flat[0]))
    runs = [(f, decay) for f in range(len(classes)) for decay in DECAYS]
    queries = [torch.zeros(len(zero_D), requires_grad=True) for _ in runs]
    heads = [torch.zeros(len(zero_D), classes[f], requires_grad=True) for f, _ in runs]
    offsets = [torch.zeros(classes[f], requires_grad=True) for f, _ in runs]
    groups = [{"params": [q, w], "weight_decay": decay} for q, w, (_, decay) in zip(queries, heads, runs)]
    adam = torch.optim.AdamW([*groups, {"params": offsets, "weight_decay": 0.0}], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)

    def logits(pooled_GND: Tensor) -> list[Tensor]:
        return [(x - centre_D) / spread_D @ w + b for x, w, b in zip(pooled_GND, heads, offsets)]

    best = [(-1.0, zero_D)] * len(classes)
    for step in range(1, steps + 1):
        rows = rng.integers(len(x_NTD), size=batch)
        y = torch.from_numpy(y_NF[rows].astype(np.int64))
        guess = logits(_pool(torch.from_numpy(x_NTD[rows]).float(), torch.stack(queries) / scale_D))
        adam.zero_grad()
        torch.stack([F.cross_entropy(g, y[:, f]) for g, (f, _) in zip(guess, runs)]).sum().backward()
        adam.step()
        schedule.step()
        if step % CHECK == 0 or step == steps:
            with torch.no_grad():
                q_GD = (torch.stack(queries) / scale_D).numpy()
                guess = logits(torch.from_numpy(attention_pool(val[0], q_GD)))
            for q, g, (f, _) in zip(q_GD, guess, runs):
                accuracy = balanced_accuracy(g.argmax(1).numpy(), val[1][:, f])
                best[f] = max(best[f], (accuracy, q), key=lambda found: found[0])  # of equals the earliest
    found = []
    for f, (_, q) in enumerate(best):
        both = []
        for pooled in (flat, [attention_pool(x, q[None])[0] for x, _ in (train, val, test)]):
            sets = [(x, y[:, f]) for x, (_, y) in zip(pooled, (train, val, test))]
            both.append(probe_accuracy(sets[0], sets[1], sets[2], classes[f]))
        mean, attended = both
        gains = attended[0] > mean[0]
        found.append(PoolProbe(*(attended if gains else mean), *mean, q if gains else zero_D))
    return found
