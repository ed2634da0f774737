"""What counts: predicates as plain data that turn effects per seed into supported, refuted or undecided.

A predicate is supported when the 95 % interval lies wholly beyond its margin, refuted when wholly short of
it. Its two p values are two-sided (twice the one-sided tail), so that p < .05 says the same as the interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from falsework.claims.effects import Effect
from falsework.core.stats import MIN_SEEDS, Interval, Sample


@dataclass(frozen=True)
class Finding:
    """What one predicate found; `low` and `high` are nan below two seeds.

    `bound`: "at least" or "at most" when thresholds were not reached and the effect is only that.
    """

    state: str
    effect: float
    low: float
    high: float
    seeds: int
    p_support: float = 1.0
    p_refute: float = 1.0
    bound: str = ""
    notes: tuple[str, ...] = ()

    @property
    def p(self) -> float:
        """The smaller of the two: evidence against "exactly at the margin"."""
        return min(self.p_support, self.p_refute)


class Predicate:
    """Judges an effect. Subclasses give `bar` (words), `_tails` (one-sided p for, against) and `_point`."""

    def bar(self) -> str:
        raise NotImplementedError

    def sentence(self) -> str:
        """Return the predicate as one plain English sentence."""
        return f"Supported when the effect is {self.bar()}, with its whole 95 % interval."

    def holds(self, sample: Any) -> bool:
        """True when every seed's value passes as a plain number: the check of an exact claim."""
        return all(self._point(value) for value in sample.values)

    def judge(self, sample: Any) -> Finding:
        """Return the finding for effects per seed (a Sample or numbers); undecided below three seeds."""
        sample = sample if isinstance(sample, Sample) else Sample(tuple(map(float, sample)))
        sides = (sample.at_least, sample.at_most)
        bound = {(True, False): "at least", (False, True): "at most", (True, True): "roughly"}.get(sides, "")
        if len(sample.values) < 2:
            effect = self._shown(sample.values[0])
            return Finding("undecided", effect, math.nan, math.nan, 1, bound=bound, notes=sample.notes)
        interval = sample.interval()
        support, refute = (min(1.0, 2 * tail) for tail in self._tails(interval))
        state = "supported" if support < 0.05 else "refuted" if refute < 0.05 else "undecided"
        if interval.n < MIN_SEEDS:
            state = "undecided"
        effect, low, high = (self._shown(v) for v in (interval.effect, interval.low, interval.high))
        return Finding(state, effect, low, high, interval.n, support, refute, bound, sample.notes)

    def _tails(self, interval: Interval) -> tuple[float, float]:
        raise NotImplementedError

    def _point(self, value: float) -> bool:
        raise NotImplementedError

    def _shown(self, value: float) -> float:
        return value


@dataclass(frozen=True)
class Above(Predicate):
    """The effect is at least `margin`."""

    margin: float = 0.0

    def bar(self) -> str:
        return f"at least {number(self.margin)}" if self.margin else "above 0"

    def _tails(self, interval: Interval) -> tuple[float, float]:
        return interval.p_above(self.margin), interval.p_below(self.margin)

    def _point(self, value: float) -> bool:
        return value > self.margin


@dataclass(frozen=True)
class Below(Predicate):
    """The effect is at most `margin`."""

    margin: float = 0.0

    def bar(self) -> str:
        return f"at most {number(self.margin)}" if self.margin else "below 0"

    def _tails(self, interval: Interval) -> tuple[float, float]:
        return interval.p_below(self.margin), interval.p_above(self.margin)

    def _point(self, value: float) -> bool:
        return value < self.margin


@dataclass(frozen=True)
class Within(Predicate):
    """The effect is no further than `margin` from zero: an equivalence test; "none seen" is not enough.

    Two one-sided tests (Schuirmann 1987): supported when the interval lies wholly inside, refuted when wholly
    outside.
    """

    margin: float

    def bar(self) -> str:
        return f"within {number(self.margin)} of 0"

    def _tails(self, interval: Interval) -> tuple[float, float]:
        inside = max(interval.p_above(-self.margin), interval.p_below(self.margin))
        return inside, min(interval.p_above(self.margin), interval.p_below(-self.margin))

    def _point(self, value: float) -> bool:
        return abs(value) < self.margin


@dataclass(frozen=True)
class RatioAtLeast(Predicate):
    """exp(effect) is at least `factor`; the effect is a natural log ratio, shown as a ratio."""

    factor: float

    def bar(self) -> str:
        return f"at least {number(self.factor)} times" if self.factor != 1 else "more than 1 times"

    def _tails(self, interval: Interval) -> tuple[float, float]:
        return interval.p_above(math.log(self.factor)), interval.p_below(math.log(self.factor))

    def _point(self, value: float) -> bool:
        return value > math.log(self.factor)

    def _shown(self, value: float) -> float:
        return math.exp(value)


@dataclass(frozen=True)
class RatioAtMost(RatioAtLeast):
    """exp(effect) is at most `factor`."""

    def bar(self) -> str:
        return f"at most {number(self.factor)} times" if self.factor != 1 else "less than 1 times"

    def _tails(self, interval: Interval) -> tuple[float, float]:
        return super()._tails(interval)[::-1]

    def _point(self, value: float) -> bool:
        return value < math.log(self.factor)


@dataclass(frozen=True)
class Part:
    """One effect under one predicate, a piece of an `All`."""

    effect: Effect
    predicate: Predicate


@dataclass(frozen=True)
class All(Predicate):
    """Several parts: supported when all are, refuted when any is, allowing for the luck of several (Bonferroni)."""

    parts: tuple[Part, ...]

    def bar(self) -> str:
        return "; and ".join(f"{part.predicate.bar()} ({part.effect.unit})" for part in self.parts)

    def sentence(self) -> str:
        return f"Supported when all of these are, refuted when any is: {self.bar()}."

    def judge(self, findings: Sequence[Finding]) -> Finding:
        """Combine one finding per part; effect and interval are those of the part that decides."""
        findings = list(findings)
        states = {f.state for f in findings}
        p_refute = min(1.0, len(findings) * min(f.p_refute for f in findings))
        fallen = "refuted" in states
        state = "refuted" if fallen and p_refute < 0.05 else "supported" if states == {"supported"} else "undecided"
        key = (lambda f: f.p_refute) if fallen else (lambda f: -f.p_support)
        notes = tuple(note for f in findings for note in f.notes)
        if fallen and state != "refuted":
            notes += (f"one part of {len(findings)} falls by itself, but any may by luck: p = {p_refute:.2g} for all",)
        return replace(
            min(findings, key=key),
            state=state,
            seeds=min(f.seeds for f in findings),
            p_support=max(f.p_support for f in findings),
            p_refute=p_refute,
            notes=notes,
        )

    def holds(self, sample: Any) -> bool:
        raise NotImplementedError("an All is checked part by part")


def number(value: float) -> str:
    """Return a short plain number: 3, 0.40, 12.5, 0.018, 0.0031; infinities in words."""
    if math.isinf(value):
        return "no bound"
    if value == int(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    if abs(value) < 0.0995 or abs(value) >= 1e6:  # an interval from 0.016 to 0.020 must not read 0.02 to 0.02
        return f"{value:.2g}"
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"


def as_data(thing: object) -> object:
    """Return a predicate or effect as JSON-ready data: {"is": "Above", "margin": 0.4}, nested."""
    if is_dataclass(thing):
        return {"is": type(thing).__name__} | {f.name: as_data(getattr(thing, f.name)) for f in fields(thing)}
    return [as_data(one) for one in thing] if isinstance(thing, tuple | list) else thing
