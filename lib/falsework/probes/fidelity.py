"""How good are drawn pictures? Are they pictures at all, are they spread as real ones are, and were they made or copied?

Each number means little without the one that real pictures get against other real ones.

Dimension key: N drawn pictures, M real ones, D numbers or features.
"""

from __future__ import annotations

import numpy as np

from falsework.core.errors import Refused

NEAREST = 5


def _distances(a_ND: np.ndarray, b_MD: np.ndarray) -> np.ndarray:
    """Return float64 (N, M): squared distances."""
    a, b = (np.asarray(x, dtype=np.float64) for x in (a_ND, b_MD))
    square = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    return square.clip(min=0)


def _flat(pictures: np.ndarray, what: str) -> np.ndarray:
    flat = np.asarray(pictures, dtype=np.float32).reshape(len(pictures), -1)
    if len(flat) < 2 or not np.isfinite(flat).all():
        raise Refused(f"The {what} are {flat.shape}, but must be two or more and finite.")
    return flat


def off_render(pictures: np.ndarray, renders_MD: np.ndarray) -> float:
    """Return the root mean square distance per number from each picture to its nearest render; a render has 0.

    pictures: (N, ...) in the range of the renders. Raises Refused for fewer than two pictures and those not finite.
    """
    flat, renders = _flat(pictures, "pictures"), renders_MD.astype(np.float64)
    parts = [_distances(flat[i : i + 64], renders).min(1) for i in range(0, len(flat), 64)]
    return float(np.sqrt(np.concatenate(parts).mean() / flat.shape[1]))


def frechet(drawn_ND: np.ndarray, real_MD: np.ndarray) -> float:
    """Return the Frechet distance of two clouds as Gaussians (Dowson and Landau 1982; Heusel et al. 2017).

    |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)). It falls with the number of pictures, so compare equal numbers. Raises
    Refused for fewer than two pictures and those not finite.
    """
    a, b = _flat(drawn_ND, "drawn").astype(np.float64), _flat(real_MD, "real").astype(np.float64)
    c, d = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(c)
    half = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(half @ d @ half).clip(min=0)).sum()  # tr (C C')^(1/2), by a symmetric matrix
    return float(max(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(c + d) - 2 * shared, 0.0))


def coverage_of(drawn_ND: np.ndarray, real_MD: np.ndarray, nearest: int = NEAREST) -> float:
    """Return the share of real pictures with a drawn one closer than their `nearest`-th real neighbour (Naeem et al. 2020).

    Raises Refused for fewer real pictures than that.
    """
    real = _flat(real_MD, "real")
    if len(real) <= nearest:
        raise Refused(f"There are {len(real)} real pictures, but their {nearest} nearest others are asked for.")
    ball_M = np.sort(_distances(real, real), axis=1)[:, nearest]
    near_M = _distances(real, _flat(drawn_ND, "drawn")).min(1)
    return float(((near_M < ball_M) | (near_M == 0)).mean())  # copies of one picture have balls without size


def copied(drawn_ND: np.ndarray, trained_MD: np.ndarray, held_MD: np.ndarray) -> float:
    """Return the share of drawn pictures that lie nearer to a trained picture than to a held-out one: .5 is no copying.

    Both sets must be of one size and drawn alike. Raises Refused when they are not of one size.
    """
    if len(trained_MD) != len(held_MD):
        raise Refused(f"There are {len(trained_MD)} trained and {len(held_MD)} held-out pictures, but need as many.")
    drawn = _flat(drawn_ND, "drawn")
    near, far = (_distances(drawn, _flat(x, "real")).min(1) for x in (trained_MD, held_MD))
    return float((near < far).mean() + 0.5 * (near == far).mean())
