"""Intervals over a few seeds that mean what they say: the statistics under every verdict of the course.

A run of one seed is one draw, so an interval is a t interval over seeds. Where all seeds were tested on the
same finite set (the emoji drawings) they share its luck, and a bootstrap over its items adds the missing
part: se^2 = se_seed^2 + se_item^2. An effect is a function of a few means ("accuracy of CLIP, accuracy of
iGPT") per seed.

Dimension key: T terms of an effect, S seeds, I items of a finite test set, D bootstrap draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from falsework.core.errors import Refused
from falsework.core.rng import rng

MIN_SEEDS = 3  # with two seeds the t factor is 12.7: such an interval says nothing, so nothing is judged on it
CONFIDENCE = 0.95
DRAWS = 1000
ROUNDING = 1e-12  # relative; differences below it are arithmetic, not evidence

Combine = Callable[[np.ndarray], np.ndarray]  # means [..., T, S] -> one effect per seed [..., S]


@dataclass(frozen=True)
class Interval:
    """A mean over `n` seeds with its two-sided interval; an end is infinite when only a bound is known."""

    effect: float
    low: float
    high: float
    n: int
    seed_se: float
    item_se: float = 0.0
    items: int = 0
    floor: float = 0.0

    def p_above(self, bar: float) -> float:
        """Return the one-sided p value of "not above `bar`"; 1 when only an upper bound is known."""
        return 1.0 if self.low == -math.inf else self._tail(self.effect - bar)

    def p_below(self, bar: float) -> float:
        """Return the one-sided p value of "not below `bar`"; 1 when only a lower bound is known."""
        return 1.0 if self.high == math.inf else self._tail(bar - self.effect)

    def _tail(self, distance: float) -> float:
        """Return the one-sided p at which the interval's end lies exactly `distance` from the effect."""
        if distance < 0:
            return 1.0 - self._tail(-distance)
        if not (self.seed_se or self.item_se or self.floor):
            return 0.0 if distance > ROUNDING * max(1.0, abs(self.effect)) else 1.0
        least = float(ndtr(-distance / self.floor)) if self.floor else 0.0
        if not self.item_se:
            return max(least, float(stdtr(self.n - 1, -distance / self.seed_se)) if self.seed_se else 0.0)
        low, high = -30.0, math.log10(0.5)  # bisection on log10 p: the half width falls as p grows
        for _ in range(50):
            middle = (low + high) / 2
            wide = half_width(10**middle, self.seed_se, self.n, self.item_se, self.items) > distance
            low, high = (middle, high) if wide else (low, middle)
        return max(least, 10 ** ((low + high) / 2))


@dataclass(frozen=True)
class Sample:
    """One effect per seed and what else is known of its error.

    `item_se`: standard error from a shared finite test set of `items` members. `floor`: least standard error
    allowed (binomial). `at_least`, `at_most`: the effect is only a bound, because a threshold was not
    reached.
    """

    values: tuple[float, ...]
    item_se: float = 0.0
    items: int = 0
    floor: float = 0.0
    at_least: bool = False
    at_most: bool = False
    notes: tuple[str, ...] = ()

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the t interval of the mean; raises Refused below two seeds or when a value is not finite."""
        values = np.asarray(self.values, float)
        n = len(values)
        if n < 2:
            raise Refused(f"An interval was asked of {n} seed{'s' * (n != 1)}, but at least 2 are needed.")
        if not np.isfinite(values).all():
            raise Refused(f"The effects per seed are {self.values}, but finite numbers are needed.")
        effect = float(values.mean())
        seed_se = float(values.std(ddof=1)) / math.sqrt(n)
        if seed_se < ROUNDING * max(1.0, abs(effect)):
            seed_se = 0.0
        tail = (1 - confidence) / 2
        half = half_width(tail, seed_se, n, self.item_se, self.items, self.floor)
        low = -math.inf if self.at_most else effect - half
        high = math.inf if self.at_least else effect + half
        return Interval(effect, low, high, n, seed_se, self.item_se, self.items, self.floor)


def half_width(tail: float, seed_se: float, n: int, item_se: float = 0.0, items: int = 0, floor: float = 0.0) -> float:
    """Return the half width of an interval that leaves `tail` on each side.

    The parts have their own degrees of freedom, so each gets its own t factor and the half widths add in
    quadrature (Zou and Donner 2008): one factor on n - 1 for both covers 100 % when items rule,
    Satterthwaite's only 92 %. The binomial floor is no estimate, so its factor is the normal one: three equal
    seeds are luck, not certainty.
    """
    seed = -stdtrit(n - 1, tail) * seed_se
    item = -stdtrit(items - 1, tail) * item_se if item_se else 0.0
    return max(math.hypot(float(seed), float(item)), -float(ndtri(tail)) * floor)


def t_interval(values: ArrayLike, floor: float = 0.0, confidence: float = CONFIDENCE) -> Interval:
    """Return the t interval of the mean of one value per seed, its standard error at least `floor`."""
    return Sample(tuple(np.asarray(values, float).tolist()), floor=floor).interval(confidence)


def ratio_interval(top: ArrayLike, bottom: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of top / bottom, paired by seed: a t interval of the logarithm, raised again.

    `seed_se` stays on the log scale. Raises Refused when a value is not positive.
    """
    top, bottom = np.asarray(top, float), np.asarray(bottom, float)
    if top.shape != bottom.shape or not ((top > 0).all() and (bottom > 0).all()):
        raise Refused(f"A ratio was asked of {top} and {bottom}, but as many positive numbers in both are needed.")
    logs = t_interval(np.log(top / bottom), confidence=confidence)
    return replace(logs, effect=math.exp(logs.effect), low=math.exp(logs.low), high=math.exp(logs.high))


def slopes(x: ArrayLike, y_XS: np.ndarray) -> np.ndarray:
    """Return each seed's least-squares slope of `y_XS` [..., X, S] on `x` [X]; refuses a single x."""
    x = np.asarray(x, float)
    centred = x - x.mean()
    if not (centred**2).sum() > 0:
        raise Refused(f"A slope was asked along {x.tolist()}, but at least two different places are needed.")
    return np.einsum("x,...xs->...s", centred / (centred**2).sum(), np.asarray(y_XS, float))


def first_reach(x: ArrayLike, y: ArrayLike, bar: float) -> tuple[float, int]:
    """Return where `y` first reaches `bar`, between points on log x, and how far that is known.

    The second number goes into a row's `censored` column: 0 reached inside; 1 never reached (the value is the
    last x, a lower bound); -1 reached at the first x already (an upper bound). `x` must be positive and
    rising.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.shape != y.shape or not len(x) or x[0] <= 0 or (np.diff(x) <= 0).any():
        raise Refused(f"A threshold was sought along {x.tolist()}, but rising positive places are needed.")
    above = np.flatnonzero(y >= bar)
    if not len(above):
        return float(x[-1]), 1
    if above[0] == 0:
        return float(x[0]), -1
    b = above[0]
    share = (bar - y[b - 1]) / (y[b] - y[b - 1])
    return float(x[b - 1] * (x[b] / x[b - 1]) ** share), 0


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's step-down adjusted p values (Holm 1979): one error or more in at most 5 % of families."""
    adjusted, running = {}, 0.0
    for rank, key in enumerate(sorted(p, key=p.__getitem__)):
        running = max(running, min(1.0, (len(p) - rank) * p[key]))
        adjusted[key] = running
    return {key: adjusted[key] for key in p}


def kendall_tau(a: ArrayLike, b: ArrayLike) -> float:
    """Return Kendall's tau-b of two orders (1 same, -1 reversed); nan when one side is all ties."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or len(a) < 2:
        raise Refused(f"Two orders of {len(a)} and {len(b)} things were given, but two of equal length are needed.")
    upper = np.triu_indices(len(a), 1)
    da, db = (np.sign(v[:, None] - v[None, :])[upper] for v in (a, b))
    size = math.sqrt((da != 0).sum() * (db != 0).sum())
    return float((da * db).sum() / size) if size else math.nan


# --- from tidy rows to effects per seed ---


@dataclass(frozen=True)
class Cells:
    """Tidy rows as arrays: sums per term, seed and item; the last item column holds rows without one."""

    seeds: tuple[int, ...]
    sums_TSI: np.ndarray
    counts_TSI: np.ndarray
    lower_TS: np.ndarray  # some value is a lower bound (censored 1)
    upper_TS: np.ndarray  # some value is an upper bound (censored -1)
    binomial_TS: np.ndarray  # variance of the cell's mean as a proportion; nan where it is none

    @property
    def means_TS(self) -> np.ndarray:
        return self.sums_TSI.sum(-1) / self.counts_TSI.sum(-1)


def tabulate(terms: Sequence[Sequence[Mapping]]) -> Cells:
    """Gather the rows of each term into cells, for the seeds that every term has.

    A row needs `seed` and `value`; it may have `item` (a member of a finite set that all seeds share: never
    an index of fresh draws), `n` (trials behind a proportion) and `censored` (see `first_reach`). Raises
    Refused for a value that is not finite.
    """
    seeds_of = [[int(float(row["seed"])) for row in rows] for rows in terms]
    shared = sorted(set.intersection(*map(set, seeds_of))) if terms else []
    met: dict[object, set[int]] = {}
    for seeds, rows in zip(seeds_of, terms):
        for seed, row in zip(seeds, rows):
            if _given(row.get("item")):
                met.setdefault(row["item"], set()).add(seed)
    # an item that only one seed met is fresh luck, which the spread over seeds already holds
    items = {item: i for i, item in enumerate(k for k, seeds in met.items() if len(seeds) > 1)}
    place = {seed: s for s, seed in enumerate(shared)}
    shape = (len(terms), len(shared))
    sums, counts = np.zeros((*shape, len(items) + 1)), np.zeros((*shape, len(items) + 1))
    lower, upper, binomial = np.zeros(shape, bool), np.zeros(shape, bool), np.full(shape, np.nan)
    for t, (seeds, rows) in enumerate(zip(seeds_of, terms)):
        kept = [(place[seed], row) for seed, row in zip(seeds, rows) if seed in place]
        at = np.array([s for s, _ in kept], int)
        value = np.array([float(row["value"]) for _, row in kept])
        if not np.isfinite(value).all():
            raise Refused(
                f"A row of {rows[0].get('metric', 'a metric')} has a value that is not finite, but all "
                "must be (a threshold never reached is written as its budget with censored = 1)."
            )
        of = np.array([items.get(row.get("item"), -1) for _, row in kept], int)
        np.add.at(sums[t], (at, of), value)
        np.add.at(counts[t], (at, of), 1)
        flag = np.array([_number(row.get("censored")) for _, row in kept])
        np.logical_or.at(lower[t], at, flag > 0)
        np.logical_or.at(upper[t], at, flag < 0)
        trials = np.array([_number(row.get("n")) for _, row in kept])
        has_item = np.array([_given(row.get("item")) for _, row in kept], bool)
        trials += has_item & np.isin(value, (0.0, 1.0)) & (trials == 0)  # hit or miss on one item: one trial
        for s in range(len(shared)):
            v, n = value[at == s], trials[at == s]
            if (n > 0).all() and ((v >= 0) & (v <= 1)).all():
                rate = ((v * n).sum() + 1) / (n.sum() + 2)
                binomial[t, s] = rate * (1 - rate) / n.sum()
    return Cells(tuple(shared), sums, counts, lower, upper, binomial)


def sample_of(cells: Cells, combine: Combine, notes: tuple[str, ...] = ()) -> Sample:
    """Return the effects per seed with their item error, binomial floor and bounds.

    `combine` maps means [..., T, S] to effects [..., S]. Its slope in every cell, taken numerically, says
    which way a censored value could still move the effect and how much binomial luck each cell passes on.
    """
    means_TS = cells.means_TS
    T, S = means_TS.shape
    values = combine(means_TS)
    step = 1e-6 * np.maximum(np.abs(means_TS), 1e-3)
    bumped = means_TS + np.eye(T * S).reshape(T * S, T, S) * step
    slope_TS = (combine(bumped).mean(-1) - values.mean()).reshape(T, S) / step
    pull_TS = slope_TS * step / 1e-6  # per relative change, so that 1e12 FLOPs and .5 accuracy read alike
    up_TS, down_TS = pull_TS > 1e-6, pull_TS < -1e-6
    binomial = np.where(np.isnan(cells.binomial_TS), 0.0, cells.binomial_TS)
    items = cells.sums_TSI.shape[-1] - 1
    return Sample(
        tuple(float(v) for v in values),
        item_se=bootstrap_se(cells.sums_TSI, cells.counts_TSI, combine) if items > 1 else 0.0,
        items=items,
        floor=float(np.sqrt((slope_TS**2 * binomial).sum())),
        at_least=bool((up_TS & cells.lower_TS | down_TS & cells.upper_TS).any()),
        at_most=bool((up_TS & cells.upper_TS | down_TS & cells.lower_TS).any()),
        notes=notes,
    )


def bootstrap_se(sums_TSI: np.ndarray, counts_TSI: np.ndarray, combine: Combine, draws: int = DRAWS) -> float:
    """Return the standard error that the choice of the shared items gives the mean effect.

    Items are clusters: a drawn item brings its rows of every term and seed (Efron 1979). The last column is
    no item and stays. The draws are a function of the item count alone, so a verdict is the same on every
    machine.
    """
    T, S, columns = sums_TSI.shape
    weights_DI = _weights(columns - 1, draws)
    flat = (weights_DI @ a.reshape(T * S, columns).T for a in (sums_TSI, counts_TSI))
    sums_DTS, counts_DTS = (a.reshape(draws, T, S) for a in flat)
    with np.errstate(divide="ignore", invalid="ignore"):
        effects_D = combine(sums_DTS / counts_DTS).mean(-1)
    # the plain bootstrap variance of I items is short by (I - 1) / I
    return float(np.nanstd(effects_D, ddof=1)) * math.sqrt((columns - 1) / (columns - 2))


def mean_interval(rows: Sequence[Mapping], confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of the mean of tidy rows (see `tabulate`); each seed counts once."""
    return sample_of(tabulate([rows]), lambda means: means[..., 0, :]).interval(confidence)


@lru_cache(maxsize=8)
def _weights(items: int, draws: int) -> np.ndarray:
    """How often each item is drawn, [D, I + 1]; the last column, for rows without an item, is one."""
    counts = rng("item bootstrap", items).multinomial(items, np.full(items, 1 / items), size=draws)
    return np.concatenate([counts, np.ones((draws, 1))], 1).astype(float)


def _number(cell: object) -> float:
    return float(cell) if _given(cell) else 0.0  # type: ignore[arg-type]


def _given(cell: object) -> bool:
    """True unless a context column is empty in this row: None, "" or nan, as in a table of mixed rows."""
    return not (cell is None or cell == "" or cell is False or cell != cell)
