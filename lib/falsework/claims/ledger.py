"""The table of verdicts: each claim as every source judges it, with what that cost and how old it is. Sees tables only.

A source is published evidence at one preset, or "yours": what was measured on this machine. All of them are judged by
the same statistics, each preset by itself; beside them stands the one verdict that counts (`claims.published`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from falsework.claims.effects import Rows
from falsework.claims.predicates import Finding, Part, number
from falsework.claims.registry import CLAIMS, Claim
from falsework.claims.verdicts import PRESETS, Verdict, judge_all
from falsework.core import versions
from falsework.core.errors import Refused
from falsework.core.evidence import Evidence, load_evidence

PUBLISHED = tuple(p for p in PRESETS if p != "smoke")
YOURS = "yours"
COLUMNS = [
    "claim",
    "notebook",
    "source",
    "preset",
    "verdict",
    "strict",
    "effect",
    "low",
    "high",
    "p",
    "seeds",
    "core_seconds",
    "flops",
    "measured",
    "age",
    "sentence",
]


@dataclass(frozen=True)
class Source:
    """What one source holds of one notebook.

    `rows`: tidy, with "experiment". `models`: what each trained "arm/seed" cost; `measuring`: core-seconds beside that.
    `versions`: of the measures and recipes that made it. `measured`: the ISO date of its latest measurement, "" where
    nobody wrote it down. `fault`: a sentence, when it cannot be read.
    """

    rows: Rows = ()
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    measuring: float = 0.0
    measured: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Entry:
    """What one source says about one claim.

    What its notebook cost there, all claims together: core-seconds of training and measuring, FLOPs of training; nan
    where nobody counted or nothing was trained.
    """

    claim: Claim
    source: str
    preset: str
    verdict: Verdict
    core_seconds: float = math.nan
    flops: float = math.nan
    measured: str = ""
    version: int = 0
    stale: tuple[str, ...] = ()
    fault: bool = False

    @property
    def found(self) -> bool:
        """True when this source has anything to say about this claim."""
        return bool(self.verdict.preset) or self.fault

    @property
    def state(self) -> str:
        """The verdict in a word or two; "rehearsal" at smoke, "-" where there is nothing."""
        if self.fault:
            return "damaged"
        return "-" if not self.found else "rehearsal" if self.preset == "smoke" else self.verdict.state

    @property
    def finding(self) -> tuple[Part, Finding] | None:
        """The part of the claim that decides and what was found of it; None where there is no number."""
        same = [
            f for f in self.verdict.parts if _same(f.effect, self.verdict.effect) and _same(f.low, self.verdict.low)
        ]
        at = self.verdict.parts.index(same[0]) if same else -1
        if at < 0 or math.isnan(self.verdict.effect):
            return None
        return self.claim.parts[at], self.verdict.parts[at]

    @property
    def effect(self) -> str:
        """The effect of the part that decides, e.g. "at least 5.65"."""
        found = self.finding
        return f"{found[1].bound} {number(found[1].effect)}".strip() if found else "-"

    @property
    def interval(self) -> str:
        """Its 95 % interval: "4.7 to 6.0", "above 4.7", or "-" below two seeds and for a theorem."""
        found = self.finding
        return interval(found[1]) if found and self.verdict.state != "exact" else "-"

    @property
    def cost(self) -> str:
        """What its notebook cost there, all claims together: "3,067 core-s, 97 TFLOP"."""
        if not self.found or self.fault:
            return "-"
        return cost(self.core_seconds, self.flops)

    @property
    def age(self) -> str:
        """When it was measured, as far as anybody wrote it down, and whether it still stands."""
        if not self.found or self.fault:
            return "-"
        if self.stale:
            return f"stale: {', '.join(self.stale)} changed since"
        return (f"measured {self.measured}, " if self.measured else "") + f"v{self.version}, current"

    def row(self) -> dict[str, Any]:
        """Return it as one plain row with COLUMNS; numbers that are not there are ""."""
        v = self.verdict
        numbers = {"effect": v.effect, "low": v.low, "high": v.high, "p": v.p if v.parts else math.nan}
        costs = {"core_seconds": self.core_seconds, "flops": self.flops}
        return {
            "claim": self.claim.id,
            "notebook": self.claim.notebook,
            "source": self.source,
            "preset": self.preset,
            "verdict": v.state,
            "strict": v.strict,
            **{k: "" if math.isnan(x) else x for k, x in {**numbers, **costs}.items()},
            "seeds": v.seeds,
            "measured": self.measured,
            "age": self.age,
            "sentence": v.sentence,
        }


@dataclass(frozen=True)
class Line:
    """One claim: the published verdict that counts, and what each source says ("laptop" ... "gpu", "yours")."""

    claim: Claim
    verdict: Verdict
    entries: Mapping[str, Entry]

    @property
    def counted(self) -> Entry | None:
        """The published entry whose preset gave the verdict that counts; None where nothing is published."""
        return self.entries.get(self.verdict.preset)

    @property
    def stale(self) -> tuple[str, ...]:
        """What has changed in behaviour since the verdict that counts was measured."""
        return self.counted.stale if self.counted else ()


def read(folder: Path) -> dict[tuple[str, str], Source]:
    """Return all published evidence under `folder` by (notebook, preset); a damaged one holds its fault and no rows."""
    found = {}
    for notebook in sorted({claim.notebook for claim in CLAIMS}):
        for preset in PUBLISHED:
            try:
                evidence = load_evidence(folder, notebook, preset)
                if evidence is not None:
                    found[notebook, preset] = _source(evidence)
            except (Refused, OSError) as fault:
                found[notebook, preset] = Source(fault=str(fault))
    return found


def ledger(
    published: Mapping[tuple[str, str], Source], yours: Mapping[str, Source] | None = None, preset: str = "laptop"
) -> list[Line]:
    """Return every claim in talk order; `yours` holds, by notebook, what was measured here at `preset`."""
    mine = {(notebook, preset): source for notebook, source in (yours or {}).items()}
    overall = judge_all({at: source.rows for at, source in published.items()})
    columns = {name: _entries(published, name, name) for name in PUBLISHED}
    columns[YOURS] = _entries(mine, YOURS, preset)
    return [
        Line(claim, verdict, {name: column[i] for name, column in columns.items()})
        for i, (claim, verdict) in enumerate(zip(CLAIMS, overall))
    ]


def overview(lines: Sequence[Line]) -> list[dict[str, str]]:
    """Return one row a claim, in words: the verdict that counts, effect, interval, seeds, preset, cost and age."""
    names = ("effect", "95 % interval", "seeds", "preset", "core-seconds", "FLOPs", "age")
    out = []
    for line in lines:
        at, claim, verdict = line.counted, line.claim, line.verdict
        row = {"claim": claim.id, "what we test": claim.wording}
        row |= {"verdict": verdict.state, "strict": verdict.strict or "-"}
        cells = ["-"] * len(names)
        if at:
            effect = f"{at.effect} {at.finding[0].effect.unit}".strip() if at.finding else "-"
            spent = cost(at.core_seconds, math.nan).removesuffix(" core-s"), cost(math.nan, at.flops)
            cells = [effect, at.interval, str(verdict.seeds or "-"), at.preset, *spent, at.age]
        out.append(row | dict(zip(names, cells)))
    return out


def side_by_side(lines: Sequence[Line], columns: Sequence[str] = PUBLISHED) -> list[dict[str, str]]:
    """Return one row a claim that any of these sources has measured, with each one's verdict, effect and interval."""
    shown = [line for line in lines if any(line.entries[name].found for name in columns)]
    return [{"claim": li.claim.id} | {name: _cell(li.entries[name]) for name in columns} for li in shown]


def _cell(entry: Entry) -> str:
    number = "" if entry.effect == "-" else f", {entry.effect}"
    return entry.state + number + ("" if entry.interval == "-" else f" ({entry.interval})")


def interval(found: Finding) -> str:
    """Return a finding's 95 % interval in words, "-" below two seeds."""
    if math.isnan(found.low):
        return "-"
    if math.isinf(found.low):
        return f"below {number(found.high)}"
    return f"above {number(found.low)}" if math.isinf(found.high) else f"{number(found.low)} to {number(found.high)}"


def cost(core_seconds: float, flops: float) -> str:
    """Return a cost in words: "385 core-s, 17 TFLOP"; "-" when both are nan."""
    words = [] if math.isnan(core_seconds) else [f"{core_seconds:,.0f} core-s"]
    if not math.isnan(flops):
        scale = min(5, int(math.log10(max(flops * 1.0005, 1)) // 3))  # 999.9 billion reads as a trillion
        words.append(f"{flops / 1000**scale:.3g} {' KMGTP'[scale].strip()}FLOP")
    return ", ".join(words) or "-"


def _source(evidence: Evidence) -> Source:
    kept = evidence.manifest
    measuring = kept.get("measuring_core_seconds", kept.get("measuring_seconds", 0.0))
    models, measured = kept.get("models", {}), kept.get("measured", "")
    return Source(evidence.all_rows(), models, kept["versions"], measuring, measured)


def _entries(sources: Mapping[tuple[str, str], Source], name: str, preset: str) -> list[Entry]:
    verdicts = judge_all({at: source.rows for at, source in sources.items()}, preset=preset)
    return [_entry(claim, v, sources.get((claim.notebook, preset)), name, preset) for claim, v in zip(CLAIMS, verdicts)]


def _entry(claim: Claim, verdict: Verdict, source: Source | None, name: str, preset: str) -> Entry:
    if source is not None and source.fault and claim.role != "interpretive":
        words = Verdict(claim.id, "not judged", source.fault, strict=verdict.strict)
        return Entry(claim, name, preset, words, fault=True)
    if source is None or not verdict.preset:
        return Entry(claim, name, preset, verdict)
    own, now = f"{claim.notebook}/{claim.experiment}", {**versions.RECIPES, **versions.MEASURES}
    old = {n: v for n, v in source.versions.items() if now.get(n) != v and (n == own or "/" not in n)}
    spent = _bill(source)
    version = source.versions.get(own, 0)
    return Entry(claim, name, preset, verdict, *spent, source.measured, version, tuple(sorted(old)))


def _bill(source: Source) -> tuple[float, float]:
    """Return core-seconds and FLOPs of a notebook: its networks and their parents once each, and the measuring."""
    nets: dict[Any, Mapping[str, Any]] = {}
    for name, facts in source.models.items():
        nets[facts.get("model", name)] = facts
        for parent, its in facts.get("parents", {}).items():
            nets[parent, its.get("core_seconds"), its.get("flops")] = its
    flops = [net["flops"] for net in nets.values() if "flops" in net]
    seconds = source.measuring + sum(net.get("core_seconds", 0.0) for net in nets.values())
    return seconds, float(sum(flops)) if flops else math.nan


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
