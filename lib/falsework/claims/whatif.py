"""What a verdict would be with another margin: a game for readers, never a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from falsework.claims.published import read_all
from falsework.claims.registry import claim_of
from falsework.claims.verdicts import judge
from falsework.core.errors import Refused


def flips(folder: Path, claim: str, margins: Iterable[float]) -> list[dict[str, str]]:
    """Return one row a margin (margin, verdict, sentence) for a claim with a single margin, from published evidence.

    Raises Refused for an unknown claim or one whose test has no single margin.
    """
    ours = claim_of(claim)
    own = getattr(ours.predicate, "margin", None)
    if own is None:
        raise Refused(f"The claim {claim} has no single margin to move; try C09a.")
    rows = {at: e.all_rows() for at, e in read_all(folder).items() if at[0] == ours.notebook}
    out = []
    for margin in margins:
        verdict = judge(replace(ours, predicate=replace(ours.predicate, margin=float(margin))), rows)  # type: ignore[type-var]
        note = " (the margin of the course)" if margin == own else ""
        out.append(
            {"margin": f"{margin:g}{note}", "verdict": verdict.state, "what the evidence says": verdict.sentence}
        )
    return out
