"""What a trained denoiser says a caption is worth, in bits, at every noise level; and what encloses the truth.

With x_s = x + s eps and D_c(x_s) the denoiser told caption c, D_0 told nothing:

    worth(s) = 1/2 int_s^inf [E|x - D_0|^2 - E|x - D_c|^2] d(1/u^2)    I(c; x_s), plus the excess of D_0, less that of D_c
    apart(s) = 1/2 int_s^inf E|D_0 - D_c|^2 d(1/u^2)                   the same for exact denoisers, biased otherwise
    least(s) = H(c) + E log q(c | x_s)                                 a true lower bound, for any reader q of noisy pictures

A net is checked level by level, never by its total: too little at high noise and too much at low can cancel.

Dimension key: S noise levels, rising; n pictures, drawn afresh at each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from falsework.core.errors import Refused
from falsework.core.vocabulary import Vocabulary
from falsework.probes.denoised import imagine
from falsework.world.exact import BITS, ExactWorld
from falsework.world.ladder import area_bits


class Errors(NamedTuple):
    """Squared errors over the picture, each float64 (S, n); by caption level, "none" first. The same draws for all."""

    sigmas: np.ndarray  # (S,)
    net: dict[str, np.ndarray]  # |x - D_c|^2
    apart: dict[str, np.ndarray]  # |D_0 - D_c|^2
    exact: dict[str, np.ndarray]  # |x - D*_c|^2 of the exact denoiser


def errors(
    model: Any,
    words: Vocabulary,
    world: ExactWorld,
    say: Callable[[np.ndarray, str], Sequence[str]],
    levels: Sequence[str],
    sigmas: Sequence[float],
    n: int,
    *keys: object,
) -> Errors:
    """Draw n pictures at each sigma, a function of the keys, and clean them by the net and by Bayes.

    say(numbers, level): the captions of renders; levels: those asked about, "none" first. Raises Refused for others, and
    for sigma outside the range that the net was trained in.
    """
    if not levels or levels[0] != "none":
        raise Refused(
            f"The levels are {tuple(levels)!r}, but the first must be 'none': what words are worth beyond it."
        )
    shape = (len(sigmas), n)
    net, apart, exact = ({level: np.empty(shape) for level in levels} for _ in range(3))
    for s, sigma in enumerate(sigmas):
        drawn = world.sample(n, s, *keys)
        x_s = drawn.x + np.float32(sigma) * drawn.eps
        best = _best(world, x_s, sigma, drawn.index, levels)
        bare = np.empty(0)
        for level in levels:
            guess = imagine(model, words, x_s, sigma, say(drawn.index, level))
            bare = guess if level == "none" else bare
            for into, off in ((net, drawn.x - guess), (apart, bare - guess), (exact, drawn.x - best[level])):
                into[level][s] = np.square(off, dtype=np.float64).sum(1)
    return Errors(np.asarray(sigmas, dtype=np.float64), net, apart, exact)


def _best(
    world: ExactWorld, x_s: np.ndarray, sigma: float, index: np.ndarray, levels: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return `ExactWorld.denoise` for several levels, each told of the truth, from one posterior."""
    v, parts = world.variance(sigma), {level: np.empty_like(x_s) for level in levels}
    for rows in world.blocks(len(x_s), 128):
        log_p = world.log_posterior(x_s[rows], sigma)
        for level in levels:
            mean = world.render_moments(log_p, level, world.group(level).code[index[rows]])[0] + world.mean
            parts[level][rows] = (sigma**2 * mean + world.texture**2 * x_s[rows]) / v
    return parts


def left_bits(square_Sn: np.ndarray, sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return 1/2 int_s^inf E[square] d(1/u^2) in bits and its standard error, each (S,).

    Between two noise levels the error is taken to be a power of sigma, which is exact for one that stays as it is (all
    noise) and for one that shrinks with the noise (none); above the largest it is taken to stay. The trapezoid rule
    would give 7 % too much there, with steps of 1.59.
    """
    paid = square_Sn.mean(1) / sigmas**2  # per unit of 2 ln sigma, halved: nats per e-fold
    a, b = paid[:-1], paid[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where((a > 0) & (b > 0) & (a != b), (a - b) / np.log(a / b), (a + b) / 2)
    parts = np.append(mean * np.diff(np.log(sigmas)), paid[-1] / 2)
    return parts[::-1].cumsum()[::-1] * BITS, area_bits(square_Sn, sigmas, 0.0)[1]


def lower_bound(entropy_bits: float, log_q_Sn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return H(c) + E log2 q(c | x_s) and its standard error, each (S,), from log q in nats: never above I(c; x_s)."""
    bits = log_q_Sn * BITS
    return entropy_bits + bits.mean(1), bits.std(1, ddof=1) / np.sqrt(bits.shape[1])


def paid(
    model: Any,
    words: Vocabulary,
    world: ExactWorld,
    say: Callable[[np.ndarray], Sequence[str]],
    sigmas: Sequence[float],
    n: int,
    *keys: object,
) -> np.ndarray:
    """Return |x - D_c|^2 of a net, float64 (S, n), on the draws of `errors`, told what `say` says of renders.

    Raises Refused for sigma outside the range that the net was trained in.
    """
    out = np.empty((len(sigmas), n))
    for s, sigma in enumerate(sigmas):
        drawn = world.sample(n, s, *keys)
        guess = imagine(model, words, drawn.x + np.float32(sigma) * drawn.eps, sigma, say(drawn.index))
        out[s] = np.square(drawn.x - guess, dtype=np.float64).sum(1)
    return out


def least_paid(
    world: ExactWorld, sigmas: Sequence[float], n: int, *keys: object, level: str | None = None
) -> np.ndarray:
    """Return |x - D*_c|^2 of the exact denoiser on the same draws, float64 (S, n), told a caption level or nothing."""
    out = np.empty((len(sigmas), n))
    for s, sigma in enumerate(sigmas):
        drawn = world.sample(n, s, *keys)
        x_s = drawn.x + np.float32(sigma) * drawn.eps
        codes = None if level is None else world.group(level).values[world.group(level).code[drawn.index]]
        out[s] = np.square(drawn.x - world.denoise(x_s, sigma, level, codes), dtype=np.float64).sum(1)
    return out
