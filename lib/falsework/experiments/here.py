"""What was measured on this machine, as it would read once published: whatever seeds lie in runs/, current keys only.

Nothing is trained or measured, and results made with overrides, by an older version or of other data are left out: their
keys are others. Importing this needs no torch; reading results of trained networks does (their recipes name the keys).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from falsework.core import versions
from falsework.core.evidence import Result, Row, as_published, load_result
from falsework.experiments import MODULES, experiment_of
from falsework.experiments.jobs import arms_of, result_key


@dataclass(frozen=True)
class Here:
    """One notebook's results on this machine at one preset.

    `rows` have "experiment"; `models`: facts of each "arm/seed"; `versions` of the measures; `measuring`: core-seconds
    beside training; `measured`: the latest ISO date, "" when unknown; `damaged`: one sentence for each unreadable result;
    `other`: how many results have another key.
    """

    rows: list[Row]
    models: dict[str, dict[str, Any]]
    versions: dict[str, int]
    measuring: float = 0.0
    measured: str = ""
    damaged: list[str] = field(default_factory=list)
    other: int = 0


def measured_here(root: Path, preset: str) -> dict[str, Here]:
    """Return what lies in runs/<preset>/ by notebook; a notebook without any result is left out."""
    found = {}
    for notebook, module in MODULES.items():
        if module and any((root / "runs" / preset / notebook / "measured").glob("*/*.json")):
            found[notebook] = _of(notebook, root, preset)
    return found


def _of(notebook: str, root: Path, preset: str) -> Here:
    experiment = experiment_of(notebook)
    assert experiment is not None
    files = {p for p in (root / "runs" / preset / notebook / "measured").glob("*/*.json") if p.stem.count("-") >= 2}
    have = {(p.parent.name, *p.stem.rsplit("-", 2)[:2]) for p in files}
    arms, results, seen = arms_of(experiment, preset, {}), [], 0
    damaged: list[str] = []

    def say(sentence: str) -> None:  # nothing is measured here
        damaged.append(sentence.replace("it is measured again", "the next run measures it again"))

    for name in experiment.measures:
        for arm, recipe in arms.items():
            seeds = sorted(int(s) for at, a, s in have if (at, a) == (name, arm) and s.isdecimal())
            for seed in experiment.seeds_of(preset, arm, tuple(seeds)):
                key = result_key(experiment, name, preset, arm, seed, recipe)
                found = load_result(root / "runs", preset, notebook, (name, arm, seed, key), say)
                seen += any(p.parent.name == name and p.stem == f"{arm}-{seed}-{key}" for p in files)
                if found:
                    results.append(found)
    return Here(
        rows=_rows(results),
        models={f"{r.arm}/{r.seed}": r.facts for r in results},
        versions={n: v for n, v in versions.MEASURES.items() if n.startswith(f"{notebook}/")},
        measuring=sum(float(r.facts.get("measure_seconds", 0.0)) for r in results),
        measured=max((str(r.facts.get("measured", "")) for r in results), default=""),
        damaged=damaged,
        other=len(files) - seen,
    )


def _rows(results: list[Result]) -> list[Row]:
    """Return all rows with six figures, as publishing writes them: a verdict here is the verdict it would get there."""
    out = []
    for name in dict.fromkeys(r.experiment for r in results):
        rows = as_published([row for r in results if r.experiment == name for row in r.rows])
        out += [{"experiment": name, **row} for row in rows]
    return out
