"""p(c), counted: what it costs to say the caption of a picture that nobody shows.

    p(s_k | s_1 .. s_k-1) = (n(context, s_k) + a p(s_k | shorter context)) / (n(context) + a)

The shorter context lacks the first symbol; below the empty one all values are equally likely (MacKay and Peto 1995, a
hierarchical Dirichlet language model). Every caption has a probability, and they sum to one, whatever was counted.

Dimension key: N captions counted, M captions asked about, K symbols, V values of a symbol.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from falsework.core.errors import Refused

WEIGHT = 2.0  # a: how many sightings a shorter context is worth


def counted_bits(
    seen_NK: np.ndarray, asked_MK: np.ndarray, values: Sequence[int], weight: float = WEIGHT
) -> np.ndarray:
    """Return -log2 p(c), float64 (M,), of codes int64 (M, K) after counting others (N, K); symbol k has values[k] values.

    Raises Refused for symbols outside their values, and a weight that is not positive.
    """
    for codes in (seen_NK, asked_MK):
        if codes.ndim != 2 or codes.shape[1] != len(values) or (codes < 0).any() or (codes >= np.array(values)).any():
            raise Refused(f"The codes must have {len(values)} symbols, from 0 to below {list(values)}.")
    if not weight > 0:
        raise Refused(f"The weight is {weight}, but must be above 0.")
    bits = np.zeros(len(asked_MK))
    for k, count in enumerate(values):
        p_M = np.full(len(asked_MK), 1 / count)
        for first in range(k, -1, -1):
            before, here = (_context(codes[:, first:k], values[first:k]) for codes in (seen_NK, asked_MK))
            in_context = _sightings(before, here)
            in_pair = _sightings(before * count + seen_NK[:, k], here * count + asked_MK[:, k])
            p_M = (in_pair + weight * p_M) / (in_context + weight)
        bits -= np.log2(p_M)
    return bits


def _context(codes: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Return each row of symbols as one integer; 0 for none."""
    whole = np.zeros(len(codes), np.int64)
    for symbol, count in zip(codes.T, values):
        whole = whole * count + symbol
    return whole


def _sightings(seen_N: np.ndarray, asked_M: np.ndarray) -> np.ndarray:
    """Return how often each asked number was seen, (M,)."""
    if not len(seen_N):
        return np.zeros(len(asked_M))
    keys, counts = np.unique(seen_N, return_counts=True)
    at = np.searchsorted(keys, asked_M).clip(max=len(keys) - 1)
    return np.where(keys[at] == asked_M, counts[at], 0)
