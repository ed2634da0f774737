"""From tidy rows to the effect a claim speaks of, one number per seed.

A `Pick` says which rows make one mean; an effect combines a few means (a difference, a share of a range, a
log ratio, a slope). All are frozen data without functions, so a claim can be printed, stored and compared.

Row columns: experiment, arm, seed, metric, value, and context: factor, level, sigma, size, flops, item, n,
censored ... Dimension key: T terms, S seeds, X places along a ladder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from falsework.core.errors import Refused
from falsework.core.stats import Cells, Sample, first_reach, sample_of, slopes, tabulate

Rows = Sequence[Mapping]
MEANS_OVER = ("factor", "attribute")  # columns whose every value a mean takes in


class Effect(Protocol):
    """What turns rows into one effect per seed; `unit` continues a number: "0.83 <of the range>"."""

    @property
    def unit(self) -> str: ...

    def picks(self) -> tuple[Pick | Threshold, ...]: ...

    def sample(self, rows: Rows) -> Any: ...


class Missing(Refused):
    """The evidence holds no rows, or no usable ones, for what a claim asks."""


@dataclass(frozen=True)
class Pick:
    """Rows of one metric, narrowed by arm ("" is any) and context: pairs of a column and a value, or several.

    `at` keeps one place of a ladder: ("size", "largest"), "smallest", or "middle": the top of its smaller
    half.
    """

    metric: str
    arm: str = ""
    where: tuple[tuple[str, object], ...] = ()
    at: tuple[str, str] | None = None

    def rows(self, rows: Rows) -> list[Mapping]:
        """Return the matching rows; raises Missing when there are none."""
        found = [r for r in rows if r["metric"] == self.metric and self.arm in ("", r["arm"])]
        for column, wanted in self.where:
            found = [r for r in found if _matches(r.get(column), wanted)]
        if found and self.at:
            column, which = self.at
            places = sorted({_place(r, column) for r in found})
            place = places[{"smallest": 0, "middle": (len(places) - 1) // 2, "largest": -1}[which]]
            found = [r for r in found if _place(r, column) == place]
        if not found:
            raise Missing(f"{self} has not been measured")
        return found

    def __str__(self) -> str:
        context = [f"{column} = {wanted}" for column, wanted in self.where]
        context += [f"the {self.at[1]} {self.at[0]}"] if self.at else []
        arm = f" of {self.arm}" if self.arm else ""
        return f"{self.metric}{arm}" + (f" at {', '.join(context)}" if context else "")


@dataclass(frozen=True)
class Range:
    """From what needs no training to the best that anybody reached: both the largest of their rows, per seed and group.

    A group whose range is below `least` has nothing left to learn, or nobody who learned it, and is left out.
    """

    floor: Pick
    top: Pick
    least: float = 0.1

    def ends(self, rows: Rows, over: str) -> dict[tuple[int, object], tuple[float, float]]:
        """Return (seed, group) -> (floor, top) where top - floor is at least `least`."""
        floors, tops = (_largest(pick.rows(rows), over) for pick in (self.floor, self.top))
        return {at: (floors[at], top) for at, top in tops.items() if at in floors and top - floors[at] >= self.least}


@dataclass(frozen=True)
class Threshold:
    """Where the picked mean first reaches `bar` along a column: one derived row per seed and value of `over`.

    Stands wherever a Pick does. A place never reached is censored at the last one (see `stats.first_reach`);
    `falling` asks for the first place at or below the bar. within: the mean is taken as a share of this range.
    """

    pick: Pick
    along: str
    bar: float = 0.5
    falling: bool = False
    over: str = "factor"
    within: Range | None = None

    @property
    def reads(self) -> tuple[Pick, ...]:
        """The rows that it is derived from, one Pick for each mean."""
        return (self.pick, self.within.floor, self.within.top) if self.within else (self.pick,)

    def rows(self, rows: Rows) -> list[Mapping]:
        """Return rows with seed, value (a place), censored and the `over` column.

        Groups that a range leaves out in any seed are left out in all: a ratio needs the same ones in each. A seed that
        has fewer places than another has climbed a part of the ladder only, and is left out.
        """
        sums: dict[tuple, dict[float, list[float]]] = {}
        for r in self.pick.rows(rows):
            places = sums.setdefault((int(float(r["seed"])), r.get(self.over, "")), {})
            places.setdefault(_place(r, self.along), []).append(float(r["value"]))
        most: dict[object, int] = {}
        for (_, group), places in sums.items():
            most[group] = max(most.get(group, 0), len(places))
        ends = self.within.ends(rows, self.over) if self.within else dict.fromkeys(sums, (0.0, 1.0))
        lost = self.left_out(rows)
        out: list[Mapping] = []
        sign = -1 if self.falling else 1
        for (seed, group), places in sums.items():
            if group in lost or len(places) < most[group]:
                continue
            floor, top = ends[seed, group]
            x = sorted(places)
            y = [sign * (sum(places[v]) / len(places[v]) - floor) / (top - floor) for v in x]
            value, censored = first_reach(x, y, sign * self.bar)
            out.append({"seed": seed, self.over: group, "value": value, "censored": censored})
        if not out:
            raise Missing(f"no {self.over} of {self.pick} has a range to learn")
        return out

    def left_out(self, rows: Rows) -> set[object]:
        """Return the groups that have no range in some seed."""
        if not self.within:
            return set()
        ends = self.within.ends(rows, self.over)
        asked = {(int(float(r["seed"])), r.get(self.over, "")) for r in self.pick.rows(rows)}
        return {group for seed, group in asked if (seed, group) not in ends}

    def __str__(self) -> str:
        return f"the {self.along} at which {self.pick} reaches {self.bar:g}"


@dataclass(frozen=True)
class Weighted:
    """A weighted sum of means: a level, a difference, a difference of differences; `unit` is its words."""

    terms: tuple[tuple[float, Pick], ...]
    unit: str = ""

    def picks(self) -> tuple[Pick, ...]:
        return tuple(pick for _, pick in self.terms)

    def sample(self, rows: Rows) -> Sample:
        weights = np.array([weight for weight, _ in self.terms], float)
        cells = cells_of(_alike(self.picks(), rows))
        return sample_of(cells, lambda means_TS: np.einsum("t,...ts->...s", weights, means_TS))


def level(pick: Pick, unit: str = "") -> Weighted:
    """The mean itself."""
    return Weighted(((1.0, pick),), unit)


def difference(pick: Pick, floor: Pick, unit: str = "") -> Weighted:
    """How far one mean lies above another, paired by seed."""
    return Weighted(((1.0, pick), (-1.0, floor)), unit)


@dataclass(frozen=True)
class Share:
    """(pick - floor) / (ceiling - chance) per seed; without floor and chance simply pick / ceiling."""

    pick: Pick
    ceiling: Pick
    floor: Pick | None = None
    chance: Pick | None = None
    unit: str = ""

    def picks(self) -> tuple[Pick, ...]:
        return tuple(p for p in (self.pick, self.ceiling, self.floor, self.chance) if p)

    def sample(self, rows: Rows) -> Sample:
        picks = self.picks()
        # written with selection vectors so that an absent floor or chance is simply zero
        own, top, floor, chance = (
            np.array([float(q is p) for q in picks]) for p in (self.pick, self.ceiling, self.floor, self.chance)
        )
        cells = cells_of(_alike(picks, rows))
        if not (np.einsum("t,ts->s", top - chance, cells.means_TS) > 0).all():
            raise Missing(f"the ceiling ({self.ceiling}) is not above {self.chance or 'zero'} in every seed")
        return sample_of(
            cells,
            lambda m: np.einsum("t,...ts->...s", own - floor, m) / np.einsum("t,...ts->...s", top - chance, m),
        )


@dataclass(frozen=True)
class LogRatio:
    """ln(top / bottom) per seed, averaged over the values of `over` (factors) that both arms have.

    A value whose threshold neither arm reached in some seed, or both at their first place, carries no ratio: it is
    dropped and listed in the notes.
    """

    top: Pick | Threshold
    bottom: Pick | Threshold
    over: str = ""
    unit: str = ""

    def picks(self) -> tuple[Pick | Threshold, ...]:
        return (self.top, self.bottom)

    def sample(self, rows: Rows) -> Sample:
        tops, bottoms = (_grouped(pick.rows(rows), self.over) for pick in self.picks())
        both = [key for key in tops if key in bottoms]
        notes = []
        kept_out = set().union(*(p.left_out(rows) for p in self.picks() if isinstance(p, Threshold)))
        if kept_out:
            notes.append(f"without a range to learn, left out: {', '.join(sorted(map(str, kept_out)))}")
        if apart := sorted(str(k) for k in set(tops) ^ set(bottoms)):
            notes.append(f"measured in one arm only, left out: {', '.join(apart)}")
        blind = {key: sides for key in both if (sides := _both_censored(tops[key], bottoms[key]))}
        for side, words in ((1, "reached by neither arm"), (-1, "reached by both arms at their first place")):
            if dropped := [key for key, sides in blind.items() if side in sides]:
                notes.append(f"{words}, dropped: {', '.join(map(str, dropped)) or 'all'}")
        kept = [key for key in both if key not in blind]
        if not kept:
            raise Missing("; ".join(notes) or f"{self.top} and {self.bottom} share no {self.over}")
        cells = cells_of([tops[key] for key in kept] + [bottoms[key] for key in kept])
        if (cells.means_TS <= 0).any():
            raise Missing(f"a ratio of {self.top} needs positive values, but one is {cells.means_TS.min():g}")
        F = len(kept)
        return sample_of(cells, lambda m: np.log(m[..., :F, :] / m[..., F:, :]).mean(-2), tuple(notes))


@dataclass(frozen=True)
class Slope:
    """`sign` times the slope of a mean along a column, per seed; logs are base 2 ("per doubling")."""

    pick: Pick | Threshold
    along: str
    log_x: bool = True
    log_y: bool = False
    sign: int = 1
    unit: str = ""

    def picks(self) -> tuple[Pick | Threshold, ...]:
        return (self.pick,)

    def sample(self, rows: Rows) -> Sample:
        x, cells = ladder(self.pick, self.along, rows, least=3)
        places = np.log2(x) if self.log_x else x
        view = np.log2 if self.log_y else np.asarray
        return sample_of(cells, lambda m: self.sign * slopes(places, view(m)))


@dataclass(frozen=True)
class Forecast:
    """How far a power law fitted without the last place misses it: predicted / measured - 1."""

    pick: Pick
    along: str
    unit: str = ""

    def picks(self) -> tuple[Pick, ...]:
        return (self.pick,)

    def sample(self, rows: Rows) -> Sample:
        x, cells = ladder(self.pick, self.along, rows, least=5)
        places = np.log(x)

        def missed(means_TS: np.ndarray) -> np.ndarray:
            logs = np.log(means_TS)
            fitted = logs[..., :-1, :].mean(-2)
            reach = places[-1] - places[:-1].mean()
            return np.exp(fitted + slopes(places[:-1], logs[..., :-1, :]) * reach - logs[..., -1, :]) - 1

        return sample_of(cells, missed)


def _matches(cell: object, wanted: object) -> bool:
    """True when a cell is the wanted value or one of a tuple of them; "2", 2 and 2.0 are the same place."""
    if isinstance(wanted, tuple):
        return any(_matches(cell, one) for one in wanted)
    if cell == wanted or str(cell) == str(wanted):
        return True
    try:
        return float(cell) == float(wanted)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _place(row: Mapping, column: str) -> float:
    try:
        return float(row[column])
    except (KeyError, TypeError, ValueError):
        raise Missing(f"a row has {column} = {row.get(column)!r}, but a number is needed there") from None


def _alike(picks: Sequence[Pick | Threshold], rows: Rows) -> list[list[Mapping]]:
    """Return the rows of each pick; raises Missing when means over different factors would be compared.

    A pick that names its factor, or whose rows have none, is one number for all.
    """
    found = [pick.rows(rows) for pick in picks]
    for column in MEANS_OVER:
        held = {}
        for pick, own in zip(picks, found):
            named = isinstance(pick, Threshold) or column in dict(pick.where)
            values = frozenset(str(r[column]) for r in own if str(r.get(column, "")) not in ("", "nan", "None"))
            if values and not named:
                held[str(pick)] = values
        for one, values in held.items():
            for other, more in held.items():
                if lost := sorted(more - values):
                    raise Missing(f"{one} has not been measured for the {column} {', '.join(lost)}, {other} has")
    return found


def _largest(rows: Rows, over: str) -> dict[tuple[int, object], float]:
    found: dict[tuple[int, object], float] = {}
    for r in rows:
        at = int(float(r["seed"])), r.get(over, "")
        found[at] = max(found.get(at, -np.inf), float(r["value"]))
    return found


def _grouped(rows: Rows, column: str) -> dict[object, list[Mapping]]:
    groups: dict[object, list[Mapping]] = {}
    for row in rows:
        groups.setdefault(row.get(column, "") if column else "", []).append(row)
    return groups


def _both_censored(top: Rows, bottom: Rows) -> set[int]:
    """Return the sides (1 never reached, -1 reached at once) on which both values are bounds in some seed.

    Of such a ratio nothing is known.
    """

    def bounds(rows: Rows) -> set[tuple[int, int]]:
        flags = ((int(float(r["seed"])), int(float(r.get("censored") or 0))) for r in rows)
        return {(seed, flag) for seed, flag in flags if flag}

    return {flag for _, flag in bounds(top) & bounds(bottom)}


def ladder(pick: Pick | Threshold, along: str, rows: Rows, least: int) -> tuple[np.ndarray, Cells]:
    """Return the rising places of a column and one term of cells for each."""
    groups: dict[float, list[Mapping]] = {}
    for row in pick.rows(rows):
        groups.setdefault(_place(row, along), []).append(row)
    if len(groups) < least:
        found = f"{len(groups)} value{'s' * (len(groups) != 1)} of {along}"
        raise Missing(f"{found} measured so far, at least {least} are needed")
    x = sorted(groups)
    return np.array(x), cells_of([groups[place] for place in x])


def cells_of(terms: list[list[Mapping]]) -> Cells:
    cells = tabulate(terms)
    if not cells.seeds:
        raise Missing("no seed was measured in every arm this claim compares")
    return cells
