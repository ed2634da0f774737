"""Claims about a whole line: a curve that must not rise, and the staircase of the noise ladder.

Effects that keep their places (`Curve`, `Grid`) and the predicates that read them (`NonIncreasing`,
`Staircase`). Dimension key: S seeds, X places along a ladder (noise levels), L caption levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from falsework.claims.effects import Missing, Pick, Rows, Threshold, cells_of, ladder
from falsework.claims.predicates import Finding, Predicate, number
from falsework.core.stats import CONFIDENCE, Cells, Sample, sample_of, t_interval


@dataclass(frozen=True)
class Curve:
    """The picked mean at every place along a column."""

    pick: Pick | Threshold
    along: str
    unit: str = ""

    def picks(self) -> tuple[Pick | Threshold, ...]:
        return (self.pick,)

    def sample(self, rows: Rows) -> CurveSample:
        return CurveSample(*ladder(self.pick, self.along, rows, least=2))


@dataclass(frozen=True)
class CurveSample:
    """Places [X], rising, and their cells (terms = places)."""

    x: np.ndarray
    cells: Cells

    @property
    def seeds(self) -> int:
        return len(self.cells.seeds)

    def change(self, start: int, end: int) -> Sample:
        """The change from one place to another, per seed."""
        return sample_of(self.cells, lambda m: m[..., end, :] - m[..., start, :])


@dataclass(frozen=True)
class Grid:
    """Coverage by noise and caption level, beside the exact world's (`reference`) if one is named."""

    pick: Pick
    reference: Pick | None = None
    along: str = "sigma"
    by: str = "level"
    unit: str = ""

    def picks(self) -> tuple[Pick, ...]:
        return (self.pick, self.reference) if self.reference else (self.pick,)

    def sample(self, rows: Rows) -> GridSample:
        found = self.pick.rows(rows)
        x, levels = (tuple(sorted({float(r[c]) for r in found})) for c in (self.along, self.by))
        eta_XLS = self._cube(self.pick, rows, x, levels)
        known = self._cube(self.reference, rows, x, levels) if self.reference else eta_XLS
        return GridSample(x, levels, eta_XLS.transpose(2, 0, 1), known.mean(-1))

    def _cube(self, pick: Pick, rows: Rows, x: tuple, levels: tuple) -> np.ndarray:
        terms: list[list] = [[] for _ in range(len(x) * len(levels))]
        for r in pick.rows(rows):
            if float(r[self.along]) in x and float(r[self.by]) in levels:
                terms[x.index(float(r[self.along])) * len(levels) + levels.index(float(r[self.by]))].append(r)
        if not all(terms):
            raise Missing(f"{pick} does not fill its grid of {len(x)} x {len(levels)} places")
        return cells_of(terms).means_TS.reshape(len(x), len(levels), -1)


@dataclass(frozen=True)
class GridSample:
    """Coverage [S, X, L] on rising noise levels and caption levels, and the reference's mean [X, L]."""

    sigmas: tuple[float, ...]
    levels: tuple[float, ...]
    eta_SXL: np.ndarray
    known_XL: np.ndarray

    @property
    def seeds(self) -> int:
        return len(self.eta_SXL)


@dataclass(frozen=True)
class NonIncreasing(Predicate):
    """A curve never rises from one place to the next by more than `tolerance`.

    A condition on the mean curve, refuted when one step surely rises; "never" cannot be proved by a few
    seeds, so it stands beside a slope in an `All`, and the slope's p is the one that counts.
    """

    tolerance: float = 0.0

    def bar(self) -> str:
        return f"no rise of more than {number(self.tolerance)}" if self.tolerance else "no rise at any step"

    def sentence(self) -> str:
        return f"Supported when there is {self.bar()} on the mean curve, refuted when one step surely rises."

    def holds(self, sample: CurveSample) -> bool:
        return bool((np.diff(sample.cells.means_TS, axis=0) <= self.tolerance).all())

    def judge(self, sample: CurveSample) -> Finding:
        steps = [sample.change(i, i + 1) for i in range(len(sample.x) - 1)]
        rise, worst = max((float(np.mean(s.values)), i) for i, s in enumerate(steps))
        if sample.seeds < 2:
            return Finding("undecided", rise, math.nan, math.nan, sample.seeds)
        intervals = [s.interval() for s in steps]
        tail = min(i.p_above(self.tolerance) for i in intervals)
        refute = min(1.0, 2 * tail * len(steps))  # Bonferroni: the worst step is chosen by luck too
        flat = rise <= self.tolerance
        state = "refuted" if refute < 0.05 else "supported" if flat else "undecided"
        low, high = intervals[worst].low, intervals[worst].high
        return Finding(state, rise, low, high, sample.seeds, 0.0 if flat else 1.0, refute)


@dataclass(frozen=True)
class PastPeak(Predicate):
    """A curve's last place lies below some earlier one, paired by seed.

    The highest of several noisy places is high by luck as well: taking it as it stands calls 7 to 50 % of
    flat lines fallen. So each earlier place gets its own interval at Bonferroni's confidence, and the best
    one is shown.
    """

    def bar(self) -> str:
        return "above 0"

    def sentence(self) -> str:
        return "Supported when the last place surely lies below an earlier one, refuted when surely above all."

    def holds(self, sample: CurveSample) -> bool:
        means = sample.cells.means_TS
        return bool((means[:-1].max(0) > means[-1]).all())

    def judge(self, sample: CurveSample) -> Finding:
        drops = [sample.change(-1, i) for i in range(len(sample.x) - 1)]
        if sample.seeds < 2:
            return Finding("undecided", max(d.values[0] for d in drops), math.nan, math.nan, sample.seeds)
        intervals = [d.interval(1 - (1 - CONFIDENCE) / len(drops)) for d in drops]
        support = min(1.0, 2 * len(drops) * min(i.p_above(0) for i in intervals))
        refute = min(1.0, 2 * max(i.p_below(0) for i in intervals))
        state = "supported" if support < 0.05 else "refuted" if refute < 0.05 else "undecided"
        best = max(intervals, key=lambda i: i.low)
        return Finding(state, best.effect, best.low, best.high, sample.seeds, support, refute)


@dataclass(frozen=True)
class Staircase(Predicate):
    """l*(sigma), the least caption level covering `share` of the information left, falls as noise rises.

    The reference (the exact world) predicts where l* steps down to a level. Each predicted step makes two
    tests over seeds, `slack` grid points of sigma beyond it: the level does not yet cover `share` on the
    clean side, and does on the noisy side. Supported when all tests are, and the mean staircase takes at
    least `values` levels and rises by no more than `rise` levels anywhere; refuted when a test is (Bonferroni's p),
    or a larger rise is sure. `ends_at` adds: the noisiest place is covered by this level or less. p is the largest
    of the tests.
    """

    share: float = 0.5
    values: int = 3
    rise: int = 1
    slack: int = 1
    ends_at: float | None = None

    def bar(self) -> str:
        end = "" if self.ends_at is None else f" and a last level of {self.ends_at:g} or lower"
        return f"at least {self.values} levels and every predicted step{end}"

    def sentence(self) -> str:
        return (
            f"Supported when the least level covering {number(self.share)} takes {self.bar()}, "
            f"and rises nowhere by more than {self.rise}."
        )

    def least(self, eta_XL: np.ndarray) -> np.ndarray:
        """Return the index of the least level with coverage >= share per place; L ("pixels") if none."""
        covered = eta_XL >= self.share
        return np.where(covered.any(1), covered.argmax(1), eta_XL.shape[1])

    def shaped(self, eta_XL: np.ndarray) -> bool:
        """True when the staircase of this coverage takes enough levels, rises little, and ends low enough."""
        path = self.least(eta_XL)
        highest_after = np.maximum.accumulate(path[::-1])[::-1]
        return len(set(path.tolist())) >= self.values and bool((highest_after - path <= self.rise).all())

    def tests(self, sample: GridSample) -> list[tuple[int, int, int]]:
        """Return (place, level, side): +1 says coverage must be above `share` there, -1 below."""
        path, last = self.least(sample.known_XL), len(sample.sigmas) - 1
        asked = []
        for i in np.flatnonzero(np.diff(path) < 0):
            level = int(path[i + 1])
            sides = ((int(i) - self.slack, level, -1), (int(i) + 1 + self.slack, level, 1))
            asked += [side for side in sides if 0 <= side[0] <= last]  # no test beyond the grid
        if self.ends_at is not None:
            asked.append((last, max(i for i, v in enumerate(sample.levels) if v <= self.ends_at), 1))
        return asked

    def holds(self, sample: GridSample) -> bool:
        return all(self.shaped(eta) and self._ends(sample, eta) for eta in sample.eta_SXL)

    def judge(self, sample: GridSample) -> Finding:
        asked = self.tests(sample)
        if not asked:
            note = ("the reference predicts no step, so there is nothing to test",)
            return Finding("undecided", math.nan, math.nan, math.nan, sample.seeds, notes=note)
        if sample.seeds < 2:
            least = min(side * (sample.eta_SXL[0, x, k] - self.share) for x, k, side in asked)
            return Finding("undecided", float(least), math.nan, math.nan, sample.seeds)
        spare = [t_interval(side * (sample.eta_SXL[:, x, k] - self.share)) for x, k, side in asked]
        support = max(min(1.0, 2 * i.p_above(0)) for i in spare)
        against = min(min(1.0, 2 * i.p_below(0)) for i in spare)
        tight = min(spare, key=lambda i: i.low)
        shaped = self.shaped(sample.eta_SXL.mean(0))
        refute = min(1.0, against * len(spare))  # Bonferroni; a sure rise alone leaves it large
        if refute < 0.05 or self._surely_rises(sample):
            state = "refuted"
        else:
            state = "supported" if support < 0.05 and shaped else "undecided"
        notes = () if shaped else (f"the mean staircase takes too few levels or rises by more than {self.rise}",)
        support = support if shaped else 1.0
        return Finding(state, tight.effect, tight.low, tight.high, sample.seeds, support, refute, notes=notes)

    def _ends(self, sample: GridSample, eta_XL: np.ndarray) -> bool:
        if self.ends_at is None:
            return True
        at = self.least(eta_XL)[-1]
        return at < len(sample.levels) and sample.levels[at] <= self.ends_at

    def _surely_rises(self, sample: GridSample) -> bool:
        """True when l* at a noisier place surely lies more than `rise` levels above a cleaner one."""
        _, X, L = sample.eta_SXL.shape
        ends = [[t_interval(sample.eta_SXL[:, x, k]) for k in range(L)] for x in range(X)]
        most = [next((k for k in range(L) if ends[x][k].low > self.share), L) for x in range(X)]
        least = [next((k for k in range(L) if ends[x][k].high >= self.share), L) for x in range(X)]
        return any(least[later] - most[x] > self.rise for x in range(X) for later in range(x + 1, X))
