"""Verdicts on what is committed under evidence/: one reading, one judgement, whether it has gone stale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from falsework.claims.registry import CLAIMS, Claim
from falsework.claims.verdicts import PRESETS, Verdict, judge_all
from falsework.core.evidence import Evidence, load_evidence


@dataclass(frozen=True)
class Judged:
    """A claim, its verdict at the preset that judges it, and what has changed in behaviour since it was measured."""

    claim: Claim
    verdict: Verdict
    stale: tuple[str, ...] = ()


def read_all(folder: Path) -> dict[tuple[str, str], Evidence]:
    """Return all published evidence under `folder` by (notebook, preset); raises Refused for a damaged file."""
    found = {}
    for notebook in sorted({claim.notebook for claim in CLAIMS}):
        for preset in PRESETS:
            evidence = load_evidence(folder, notebook, preset)
            if evidence is not None:
                found[notebook, preset] = evidence
    return found


def judge_published(folder: Path) -> dict[str, Judged]:
    """Return every claim of the talk judged from published evidence, by id, in talk order."""
    evidence = read_all(folder)
    verdicts = judge_all({at: e.all_rows() for at, e in evidence.items()})
    out = {}
    for claim, verdict in zip(CLAIMS, verdicts):
        at = evidence.get((claim.notebook, verdict.preset))
        old = [n for n in at.stale if n == f"{claim.notebook}/{claim.experiment}" or "/" not in n] if at else []
        out[claim.id] = Judged(claim, verdict, tuple(old))
    return out
