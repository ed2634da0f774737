"""From published rows to a verdict and its one sentence. Sees tables only.

States: supported, refuted, undecided, exact (the numerics of a theorem hold), not judged, interpretive.
Nothing is judged at smoke, below three seeds, or at a preset smaller than the claim's own. The strict state
applies Holm to the primary claims, all of them, also those not yet measured: a family does not shrink because
somebody has not run it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

from falsework.claims.effects import Missing, Rows
from falsework.claims.predicates import All, Finding, Part, number
from falsework.claims.registry import CLAIMS, Claim
from falsework.core.errors import one_of
from falsework.core.stats import CONFIDENCE, MIN_SEEDS, holm

PRESETS = ("smoke", "laptop", "overnight", "gpu")
STATES = ("supported", "refuted", "undecided", "exact", "not judged", "interpretive")

Evidence = Mapping[tuple[str, str], Rows]  # (notebook, preset) -> tidy rows with "experiment"


@dataclass(frozen=True)
class Verdict:
    """What the evidence says about one claim. Numbers are nan where absent, infinite where only bounded.

    `parts` holds one finding per part of the claim; `strict` is the state under Holm ("" for claims outside
    it).
    """

    claim: str
    state: str
    sentence: str
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = 1.0
    seeds: int = 0
    preset: str = ""
    strict: str = ""
    notes: tuple[str, ...] = ()
    parts: tuple[Finding, ...] = ()

    def as_row(self) -> dict:
        """Return it as one JSON-ready row: without parts, None for numbers that are not finite."""
        row = asdict(replace(self, parts=()))
        del row["parts"]
        return {
            k: None if isinstance(v, float) and not math.isfinite(v) else list(v) if isinstance(v, tuple) else v
            for k, v in row.items()
        }


def judge(claim: Claim, evidence: Evidence, preset: str | None = None) -> Verdict:
    """Return the verdict on a claim from (notebook, preset) -> tidy rows.

    Without `preset` the claim's own is taken, or the nearest larger one that was measured, or a smaller one,
    which then shows its numbers without judging. Raises Refused for an unknown preset only: what is wrong
    with the evidence is said in the verdict.
    """
    if preset is not None:
        one_of("The preset", preset, PRESETS)
    if claim.role == "interpretive":
        return Verdict(claim.id, "interpretive", f"Not a matter of measurement. {claim.wording}")
    for name in (preset,) if preset else _order(claim.preset):
        rows = [r for r in evidence.get((claim.notebook, name), ()) if r.get("experiment") == claim.experiment]
        if rows:
            return _judge_rows(claim, rows, name)
    words = f"Not judged: not measured yet; the {claim.preset} preset judges it."
    return Verdict(claim.id, "not judged", words)


def judge_all(evidence: Evidence, claims: Iterable[Claim] = CLAIMS, preset: str | None = None) -> list[Verdict]:
    """Return all verdicts in the claims' order, the primary ones with their strict state."""
    claims = list(claims)
    return strict([judge(claim, evidence, preset) for claim in claims], claims)


def strict(verdicts: list[Verdict], claims: Iterable[Claim] = CLAIMS) -> list[Verdict]:
    """Return the verdicts with their strict state: decided only where Holm's p is below .05 too."""
    primary = {claim.id for claim in claims if claim.role == "primary"}
    decided = ("supported", "refuted")
    p = {v.claim: v.p if v.state in (*decided, "undecided") else 1.0 for v in verdicts if v.claim in primary}
    p |= dict.fromkeys(primary - p.keys(), 1.0)
    adjusted = holm(p)
    return [
        v
        if v.claim not in primary
        else replace(v, strict="undecided" if v.state in decided and adjusted[v.claim] >= 0.05 else v.state)
        for v in verdicts
    ]


def _order(own: str) -> tuple[str, ...]:
    at = PRESETS.index(own)
    return PRESETS[at:] + PRESETS[:at][::-1]


def _judge_rows(claim: Claim, rows: Rows, preset: str) -> Verdict:
    try:
        samples = [part.effect.sample(rows) for part in claim.parts]
        findings = [part.predicate.judge(sample) for part, sample in zip(claim.parts, samples)]
    except Missing as fault:
        return Verdict(claim.id, "not judged", f"Not judged: {fault}.", preset=preset)
    except (ValueError, KeyError, TypeError) as fault:
        # broken evidence is shown where its verdict would stand
        words = f"Not judged, the evidence cannot be read: {fault}"
        return Verdict(claim.id, "not judged", words, preset=preset)
    whole = claim.predicate.judge(findings) if isinstance(claim.predicate, All) else findings[0]
    words = "; ".join(_part_sentence(part, found) for part, found in zip(claim.parts, findings))
    state, prefix = _state(claim, preset, whole)
    if state == "exact":
        failed = [not part.predicate.holds(sample) for part, sample in zip(claim.parts, samples)]
        if any(failed):
            state, prefix = "refuted", "The numerics that must hold do not: "
    if state == "exact":  # a theorem has no interval: what was computed, and what it had to be
        checks = [f"{number(f.effect)} {p.effect.unit} ({p.predicate.bar()})" for p, f in zip(claim.parts, findings)]
        prefix, words = f"Computed on {_seeds(whole.seeds)}: ", "; ".join(checks)
    sentence = prefix + words + (f" ({'; '.join(whole.notes)})" if whole.notes else "")
    return Verdict(
        claim=claim.id,
        state=state,
        sentence=sentence[0].upper() + sentence[1:] + ".",
        effect=whole.effect,
        low=whole.low,
        high=whole.high,
        p=_p(state, whole),
        seeds=whole.seeds,
        preset=preset,
        notes=whole.notes,
        parts=tuple(findings),
    )


def _state(claim: Claim, preset: str, found: Finding) -> tuple[str, str]:
    """Return the state and what the sentence begins with."""
    if preset == "smoke":
        return "not judged", "Rehearsal, not judged: "
    if PRESETS.index(preset) < PRESETS.index(claim.preset):
        return "not judged", f"Not judged at {preset} (the {claim.preset} preset judges it): "
    if claim.role == "exact":
        return "exact", ""
    least = max(MIN_SEEDS, claim.seeds)
    if found.seeds < least:
        return "not judged", f"Not judged: {_seeds(found.seeds)} where {least} are needed: "
    return found.state, ""


def _p(state: str, found: Finding) -> float:
    return {"supported": found.p_support, "refuted": found.p_refute}.get(state, found.p)


def _part_sentence(part: Part, found: Finding) -> str:
    """Return e.g. "0.83 of the range, at least 0.40 needed (95 % interval 0.79 to 0.87, 3 seeds)"."""
    if math.isnan(found.effect):
        return f"nothing to read, {part.predicate.bar()} needed ({_seeds(found.seeds)})"
    head = f"{found.bound} {number(found.effect)} {part.effect.unit}".strip()
    return f"{head}, {part.predicate.bar()} needed ({_interval(found)}{_seeds(found.seeds)})"


def _interval(found: Finding) -> str:
    if math.isnan(found.low):
        return ""
    if math.isinf(found.low):
        return f"95 % sure it is below {number(found.high)}, "
    if math.isinf(found.high):
        return f"95 % sure it is above {number(found.low)}, "
    return f"{CONFIDENCE:.0%} interval ".replace("%", " %") + f"{number(found.low)} to {number(found.high)}, "


def _seeds(n: int) -> str:
    return f"{n} seed" + "s" * (n != 1)
