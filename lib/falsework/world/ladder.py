"""How much of what a noisy picture shows can a caption say? Information per noise level, three ways, exactly.

For a caption c of a picture x seen as x_s = x + s eps, with D_0 = E[x | x_s] and D_c = E[x | x_s, c]:

    (a) I(c; x_s) = H(c) - E H(c | x_s)                               from the exact posterior
    (b) I(c; x_s) = 1/2 int_0^{1/s^2} [mmse(g) - mmse(g | c)] dg      form 1: I-MMSE (Guo, Shamai, Verdu, 2005)
    (c) I(c; x_s) = 1/2 int_0^{1/s^2} E|D_0 - D_c|^2 dg               form 3: the same, the noise of one term gone

with g = 1/s^2. (b) and (c) are summed over ln s, dg = 2 dln s / s^2 downwards, from the largest sigma, above
which E|D_0 - D_c|^2 = tr Cov E[x | c] adds tr Cov E[x | c] / 2 s_max^2. Stopping at s misses H(c | x_s) - H(c | x):
so all three are given as a function of s and compared at the same s.

What there is to say is J(s) = I(x; x_s) = I(r; x_s) + I(x; x_s | r): the render's part, which ends at
H(r) - H(r | x), and the texture's, D/2 log2(1 + t^2 / s^2), which never ends. The coverage of level l is
eta_l(s) = I(c_l; x_s) / J(s), and l*(s) is the least level with eta >= 1/2, or "pixels" when words do not suffice.

Dimension key: S noise levels, n pictures, D numbers of a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from falsework.core.errors import Refused
from falsework.core.rng import rng
from falsework.world.exact import BITS, ExactWorld, entropy_bits

SIGMAS = tuple(float(2.0 ** (k * 2 / 3 - 4)) for k in range(16))  # 1/16 to 64, times 1.59 each
TEXTURE = 0.06  # standard deviation, about 8 of 255: a grain one sees and no caption describes
HALF = 0.5  # the coverage that counts as "suffices"
PIXELS = "pixels"


@dataclass(frozen=True)
class Measured:
    """What each sampled picture says at each noise level; means over pictures are exact up to sampling.

    All arrays float64 (S, n), bits or squared error of x summed over the picture; dicts by level or factor.
    Pictures and noise are drawn afresh at every sigma, and shared by all captions there.
    """

    sigmas: np.ndarray  # (S,), rising
    render: np.ndarray  # H(r) - H(r | x_s)
    error: np.ndarray  # E[|x - D_0|^2 | x_s]
    information: dict[str, np.ndarray]  # H(c) - H(c | x_s)
    accuracy: dict[str, np.ndarray]  # max_c p(c | x_s): what the Bayes reader expects to get right
    drop: dict[str, np.ndarray]  # E[|x - D_0|^2 | x_s] - E[|x - D_c|^2 | x_s, c], levels only
    gap: dict[str, np.ndarray]  # |D_0 - D_c|^2, levels only


def measure(
    world: ExactWorld, sigmas: Iterable[float], n: int, *keys: object, wrong: float = 0.0, block: int = 128
) -> Measured:
    """Draw n pictures at every sigma, a function of the keys, and read them.

    wrong: the share of captions drawn independently of the picture, from the same p(c). The caption is known to be
    so unreliable, and the posterior allows for it:

        p(c' | x_s) = (1 - w) p(c = c' | x_s) + w p(c'),   and r is mixed from rbar_c' and rbar with the weights
        (1 - w) p(c = c' | x_s) / p(c' | x_s)  and  w p(c') / p(c' | x_s).

    wrong=1 is the control whose truth is 0 bits, because such a caption is independent of the picture. Codes permuted
    among the renders would not do: a permuted code is still a function of the render, and in the end carries all
    of H(c). Nor would true captions handed to the wrong pictures at test time: the Bayes denoiser trusts them, is
    misled, and the drop is negative. Raises Refused for wrong outside 0..1 or no sigma.
    """
    sigmas = np.sort(np.asarray(list(sigmas), dtype=np.float64))
    if not 0 <= wrong <= 1 or not len(sigmas) or n < 2:
        raise Refused(f"Got wrong={wrong!r}, {len(sigmas)} sigmas, n={n}, but need 0 to 1, one or more, two or more.")
    shape, names = (len(sigmas), n), (*world.levels, *world.factors)
    render, error = np.empty(shape), np.empty(shape)
    information, accuracy = ({k: np.empty(shape) for k in names} for _ in range(2))
    drop, gap = ({k: np.empty(shape) for k in world.levels} for _ in range(2))
    for s, sigma in enumerate(sigmas):
        v = world.variance(sigma)
        scale = (sigma**2 / v) ** 2  # of squared errors: D - D' = (s^2 / v)(rbar - rbar')
        drawn, chance = world.sample(n, s, *keys), rng("wrong captions", s, *keys)
        told = np.where(chance.random(n) < wrong, chance.choice(world.N, size=n, p=world.prior), drawn.index)
        for rows in world.blocks(n, block):
            log_p = world.log_posterior(drawn.x[rows] + np.float32(sigma) * drawn.eps[rows], sigma)
            mean, variance = world.render_moments(log_p)
            p = np.exp(log_p)
            render[s, rows] = world.entropy() + (p * log_p).sum(1, dtype=np.float64) * BITS
            error[s, rows] = scale * variance + world.D * world.texture**2 * sigma**2 / v
            for k in names:
                p_c = world.sum_by_code(p, k)
                p_c /= p_c.sum(1, keepdims=True)
                if k not in drop:
                    information[k][s, rows] = world.entropy(k) - entropy_bits(p_c)
                    accuracy[k][s, rows] = p_c.max(1)
                    continue
                code = world.group(k).code[told[rows]]
                told_p = (1 - wrong) * p_c + wrong * world.group(k).prior.astype(np.float32)
                information[k][s, rows] = world.entropy(k) - entropy_bits(told_p)
                accuracy[k][s, rows] = told_p.max(1)
                mean_c, variance_c = world.render_moments(log_p, k, code)
                at = np.arange(len(code)), code
                trust = (1 - wrong) * p_c[at] / told_p[at] if wrong else np.ones(len(code))
                apart = _square(mean - mean_c)  # a mixture has the variances of its parts, and of their means
                mixed = trust * variance_c + (1 - trust) * variance + trust * (1 - trust) * apart
                drop[k][s, rows], gap[k][s, rows] = scale * (variance - mixed), scale * trust**2 * apart
    return Measured(sigmas, render, error, information, accuracy, drop, gap)


def _square(a: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", a, a, dtype=np.float64)


def _mean_se(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard error over the last axis."""
    return a.mean(-1), a.std(-1, ddof=1) / np.sqrt(a.shape[-1])


def area_bits(f: np.ndarray, sigmas: np.ndarray, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Return 1/2 int_0^{1/s^2} E f dg in bits and its standard error, each (S,): one for each lower end s.

    f: (S, n), drawn independently at each of the rising sigmas (S,); tail: the limit of E f as s -> inf, which adds
    tail / 2 s_max^2. Trapezoid rule over ln s (on a smooth bump its error falls faster than any power of the step).
    """
    mean, se = _mean_se(f / sigmas[:, None] ** 2)
    step = np.diff(np.log(sigmas))
    weight = np.zeros((len(sigmas), len(sigmas)))
    for s in range(len(sigmas) - 1):
        weight[s, s:-1] += step[s:] / 2
        weight[s, s + 1 :] += step[s:] / 2
    return (weight @ mean + tail / (2 * sigmas[-1] ** 2)) * BITS, np.sqrt(weight**2 @ se**2) * BITS


def least_level(coverage: Mapping[str, float], enough: float = HALF) -> str:
    """Return l*: the first level, in the order given, whose coverage is at least `enough`, or "pixels" if none is."""
    return next((level for level, eta in coverage.items() if eta >= enough), PIXELS)


def staircase(rows: list[dict]) -> dict[float, str]:
    """Return sigma -> l*(sigma) from the rows of `ladder`, sigma rising."""
    return {row["sigma"]: row["level"] for row in rows if row["metric"] == "least_level"}


def ladder(world: ExactWorld, sigmas: Iterable[float], n: int, *keys: object, wrong: float = 0.0) -> list[dict]:
    """Return tidy rows {level, sigma, metric, value, se}: all that is drawn about a world. n pictures, keys as `rng`.

    level            metric
    "total"          J, and its parts under "render" and "texture" (bits); "none": mmse without a caption
    each caption     information (a), information_mmse (b), information_gap (c), coverage, increment over the level
                     before (bits); mmse with it and gap E|D_0 - D_c|^2 (squared error of x over the picture);
                     at sigma 0: entropy H(c), and information: its end, I(c; x) = H(c) - H(c | x)
    each factor      information (bits), accuracy of the Bayes reader; entropy at sigma 0
    l*               least_level: the value is its position from 1, one past the last for "pixels"

    se is the standard error over the n pictures, paired where two terms share them; 0 for what is counted.
    """
    m = measure(world, sigmas, n, *keys, wrong=wrong)
    texture = np.array([world.texture_information(s) for s in m.sigmas])
    rows: list[dict] = []

    def put(level: str, metric: str, value: ArrayLike, se: ArrayLike, at: Iterable[float] = m.sigmas) -> None:
        for s, v, e in zip(at, np.atleast_1d(value), np.atleast_1d(se)):
            rows.append({"level": level, "sigma": float(s), "metric": metric, "value": float(v), "se": float(e)})

    total, total_se = _mean_se(m.render + texture[:, None])
    put("total", "J", total, total_se)
    put("render", "J", *_mean_se(m.render))
    put("texture", "J", texture, 0 * texture)
    if "none" not in world.levels:
        put("none", "mmse", *_mean_se(m.error))
    put("render", "entropy", world.entropy(), 0.0, at=[0.0])
    end = measure(world, [0.0], n, *keys, wrong=wrong) if world.texture else None
    before, coverage = np.zeros_like(m.render), {}
    for k in world.levels:
        tail = (1 - wrong) ** 2 * world.variance_between(k)
        put(k, "information", *_mean_se(m.information[k]))
        put(k, "information_mmse", *area_bits(m.drop[k], m.sigmas, tail))
        put(k, "information_gap", *area_bits(m.gap[k], m.sigmas, tail))
        put(k, "increment", *_mean_se(m.information[k] - before))
        put(k, "gap", *_mean_se(m.gap[k]))
        put(k, "mmse", *_mean_se(m.error - m.drop[k]))
        coverage[k] = m.information[k].mean(1) / total
        paired = m.information[k] - coverage[k][:, None] * (m.render + texture[:, None])  # delta method for a ratio
        put(k, "coverage", coverage[k], _mean_se(paired)[1] / total)
        before = m.information[k]
    for k in (*world.levels, *world.factors):
        put(k, "entropy", world.entropy(k), 0.0, at=[0.0])
        if end is not None:
            put(k, "information", *_mean_se(end.information[k]), at=[0.0])
        elif not wrong or k in world.factors:
            put(k, "information", world.entropy(k) - world.entropy_given_render(k), 0.0, at=[0.0])
    for k in world.factors:
        put(k, "information", *_mean_se(m.information[k]))
        put(k, "accuracy", *_mean_se(m.accuracy[k]))
    for s, sigma in enumerate(m.sigmas):
        level = least_level({k: eta[s] for k, eta in coverage.items()})
        position = (*world.levels, PIXELS).index(level) + 1
        put(level, "least_level", position, float("nan"), at=[sigma])
    return rows
