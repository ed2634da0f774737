"""The verdict page: one HTML file to read, keep or send, and the same as CSV. Nothing on it is loaded from anywhere.

The published evidence of laptop, overnight and gpu stands side by side, and beside it what was measured here.
"""

from __future__ import annotations

import base64
import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib import resources
from pathlib import Path

from falsework.claims.ledger import COLUMNS, YOURS, Entry, Line, Source, interval, ledger, read
from falsework.claims.predicates import Finding, Predicate, RatioAtLeast, RatioAtMost, Within, number
from falsework.claims.registry import PRIMARY, quote
from falsework.core.artefacts import machine, write_atomic
from falsework.core.config import check_preset
from falsework.experiments.here import Here, measured_here
from falsework.figures import STATE_COLOURS
from falsework.figures.verdicts import arch

MARKS = {"supported": "✓", "refuted": "✗", "undecided": "?", "exact": "=", "not judged": "·", "interpretive": "○"}
DECIDED = ("supported", "refuted", "undecided")
REHEARSAL = "The preset smoke is a rehearsal of seconds: what you measured there is shown and not judged."


@dataclass(frozen=True)
class Gathered:
    """Every claim as each source judges it, and by notebook what was measured here at this preset."""

    preset: str
    lines: list[Line]
    here: dict[str, Here]


def gather(preset: str, root: Path) -> Gathered:
    """Return what is published and what was measured here, judged; takes seconds. Raises Refused for an unknown preset."""
    preset = check_preset(preset)
    here = measured_here(root, preset)
    yours = {n: Source(h.rows, h.models, h.versions, h.measuring, h.measured) for n, h in here.items()}
    return Gathered(preset, ledger(read(root / "evidence"), yours, preset), here)


def write_page(gathered: Gathered, root: Path, failed: Sequence[str] = ()) -> tuple[Path, Path]:
    """Write runs/<preset>/verdicts.html and verdicts.csv under `root` and return their paths.

    `failed`: one sentence for each notebook of this run that failed, said at the top. Unreadable evidence or results
    are said on the page. Raises Refused, in one sentence, when the disk does not take a file.
    """
    folder = root / "runs" / gathered.preset
    page, table = folder / "verdicts.html", folder / "verdicts.csv"
    write_atomic(page, html_of(gathered, failed).encode())
    write_atomic(table, csv_of(gathered.lines).encode())
    return page, table


def csv_of(lines: Sequence[Line]) -> str:
    """Return one row per claim and source (laptop, overnight, gpu, yours), in talk order, with ledger.COLUMNS."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(entry.row() for line in lines for entry in line.entries.values())
    return text.getvalue()


def html_of(gathered: Gathered, failed: Sequence[str] = ()) -> str:
    """Return the whole page: self-contained, without scripts."""
    preset, lines, here = gathered.preset, gathered.lines, gathered.here
    style = resources.files("falsework").joinpath("page.css").read_text("utf-8")
    states = {line.claim.id: line.verdict.state for line in lines}
    counts = Counter(states.values())
    top = arch(states, set(PRIMARY))
    source = base64.b64encode(top.png).decode()
    legend = "".join(
        f'<li class="pill {_slug(s)}"><b>{counts[s]}</b> {MARKS[s]} {s}</li>' for s in STATE_COLOURS if counts[s]
    )
    body = [
        '<header><p class="brand">falsework</p><h1>Does the arch stand?</h1>',
        "<p class='lead'>A 2024 keynote says that language is only scaffolding for vision. Here is every claim of it, "
        "in the order of the talk, and what small models say when one asks them.</p></header>",
        _notices(failed, lines, here),
        f'<figure><img alt="{escape(top.alt)}" src="data:image/png;base64,{source}"></figure>',
        f'<ul class="counts">{legend}</ul>',
        f'<p class="note">These are the verdicts on the published evidence. {escape(_summary(lines, preset))}</p>',
        f'<nav aria-label="claims">{"".join(map(_tile, lines))}</nav>',
        f"<main>{''.join(_card(line) for line in lines)}</main>",
        _footer(preset, here),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>falsework: the verdicts</title><style>{style}{_colours()}</style></head>\n"
        f"<body>{chr(10).join(body)}</body></html>\n"
    )


def _words(sentence: str) -> str:
    return escape(sentence).replace(" %", "\N{NO-BREAK SPACE}%")  # "95 %" stays together


def _slug(state: str) -> str:
    return state.replace(" ", "-")


def _colours() -> str:
    return "".join(f".{_slug(s)}{{--c:{c}}}" for s, c in STATE_COLOURS.items())


def _notices(failed: Sequence[str], lines: Sequence[Line], here: dict[str, Here]) -> str:
    said = list(failed)
    said += dict.fromkeys(e.verdict.sentence for line in lines for e in line.entries.values() if e.fault)
    said += [sentence for h in here.values() for sentence in h.damaged]
    if not said:
        return ""
    items = "".join(f"<li>{escape(s)}</li>" for s in said)
    return f'<section class="failed" role="alert"><h2>Something went wrong</h2><ul>{items}</ul></section>'


def _summary(lines: Sequence[Line], preset: str) -> str:
    """Return one or two sentences on what was measured here."""
    mine = [line for line in lines if line.entries[YOURS].found]
    if not mine:
        return f"Nothing of yours was measured at {preset} yet."
    if preset == "smoke":
        return REHEARSAL
    counts = Counter(line.entries[YOURS].state for line in mine)
    words = ", ".join(f"{counts[s]} {s}" for s in STATE_COLOURS if counts[s])
    decided = [line for line in mine if line.entries[YOURS].state not in ("not judged", "damaged")]
    other = [line.claim.id for line in decided if line.entries[YOURS].state != line.verdict.state]
    same = f" {len(decided) - len(other)} of your {len(decided)} verdicts are the published ones"
    differ = f"; other: {', '.join(other)}." if other else "."
    return f"Yours, measured on this machine at {preset}: {words}." + (same + differ if decided else "")


def _tile(line: Line) -> str:
    state, mine = line.verdict.state, line.entries[YOURS]
    yours = f'<i class="{_slug(mine.state)}"></i>' if mine.found else ""
    words = f"{line.claim.id}, {state}" + (f"; yours: {mine.state}" if mine.found else "")
    return (
        f'<a class="tile {_slug(state)}" href="#{line.claim.id}" aria-label="{words}" title="{words}">'
        f"{line.claim.id}<span>{MARKS[state]}</span>{yours}</a>"
    )


def _pill(state: str) -> str:
    return f'<span class="pill {_slug(state)}">{MARKS.get(state, "")} {escape(state)}</span>'


def _card(line: Line) -> str:
    claim, verdict = line.claim, line.verdict
    tags = ["primary"] * (claim.role == "primary") + ["revised after evidence"] * claim.revised_after_evidence
    tags += [f"strict: {verdict.strict}"] * bool(verdict.strict)
    tags += [f"stale: {', '.join(line.stale)} changed since"] * bool(line.stale)
    head = "".join(f'<span class="tag">{escape(t)}</span>' for t in tags)
    said = quote(claim)
    body = [
        f'<h2><a href="#{claim.id}">{claim.id}</a> {_pill(verdict.state)} {head}</h2>',
        f'<blockquote><p lang="zh">{escape(said)}</p><p>{escape(claim.gloss)}</p></blockquote>' if said else "",
        f'<p><span class="label">We test</span> {escape(claim.wording)}</p>' if claim.role != "interpretive" else "",
        f'<p class="said">{_words(verdict.sentence)}</p>',
    ]
    if claim.role != "interpretive":
        mine = line.entries[YOURS]
        if mine.found and mine.verdict.sentence != verdict.sentence:
            body.append(f'<p class="yours"><span class="label">Yours</span> {_words(mine.verdict.sentence)}</p>')
        numbers = "".join(_drawing(line, i) for i in range(len(claim.parts)))
        numbers += f'<div class="sources">{"".join(map(_box, line.entries.values()))}</div>'
        notes = {"Counts": claim.criterion, "Floor": claim.floor, "Ceiling": claim.ceiling, "Scope": claim.scope}
        notes |= {"Beware": claim.pitfall, "Measured in": claim.notebook}
        items = f"<dl>{''.join(f'<dt>{k}</dt><dd>{escape(v)}</dd>' for k, v in notes.items() if v)}</dl>"
        # where nothing is judged yet, numbers are no verdict and wait behind a fold
        first_look = verdict.state == "not judged" and mine.state not in DECIDED
        body.append("" if first_look else numbers)
        fold = "Numbers and small print" if first_look else "Small print"
        body.append(f"<details><summary>{fold}</summary>{numbers if first_look else ''}{items}</details>")
    return f'<article id="{claim.id}" class="{_slug(verdict.state)}">{"".join(body)}</article>'


def _box(entry: Entry) -> str:
    """Return one source's cell: verdict, effect, interval, seeds, cost, age."""
    name = f"yours, {entry.preset}" if entry.source == YOURS else entry.source
    if not entry.found:
        return f'<div class="box none"><h3>{name}</h3><p>–</p></div>'
    strict = f"strict: {entry.verdict.strict}" if entry.verdict.strict and entry.preset != "smoke" else ""
    seeds = f"{entry.verdict.seeds} seed{'s' * (entry.verdict.seeds != 1)}" if entry.verdict.seeds else ""
    effect = f"<b>{escape(entry.effect)}</b>" if entry.effect != "-" else ""
    effect += f" ({escape(entry.interval)})" if entry.interval != "-" else ""
    facts = [effect, *map(escape, (seeds, strict, "" if entry.cost == "-" else f"cost {entry.cost}"))]
    facts.append("" if entry.age == "-" else escape(entry.age))
    rows = "".join(f"<li>{f}</li>" for f in facts if f)
    return f'<div class="box"><h3>{name}</h3>{_pill(entry.state)}<ul>{rows}</ul></div>'


# ---- the small drawing of a part: where it holds, and each source's effect with its interval


def _holds(predicate: Predicate) -> tuple[float, float]:
    """Return the range of effects in which a part of a claim holds, as shown (a ratio as a ratio)."""
    if isinstance(predicate, Within):
        return -predicate.margin, predicate.margin
    bar = getattr(predicate, "factor", getattr(predicate, "margin", getattr(predicate, "tolerance", 0.0)))
    below = isinstance(predicate, RatioAtMost) or type(predicate).__name__ in ("Below", "NonIncreasing")
    return (-math.inf, bar) if below else (bar, math.inf)


def _drawing(line: Line, i: int) -> str:
    """Return a part of a claim as one line per source on one axis; "" where no source has a number."""
    part = line.claim.parts[i]
    found = {n: e.verdict.parts[i] for n, e in line.entries.items() if len(e.verdict.parts) > i}
    found = {n: f for n, f in found.items() if math.isfinite(f.effect)}
    if not found:
        return ""
    ends = _holds(part.predicate)
    log = isinstance(part.predicate, RatioAtLeast)
    numbers = [v for f in found.values() for v in (f.effect, f.low, f.high)] + list(ends)
    at = _axis([v for v in numbers if math.isfinite(v) and not (log and v <= 0)], log)
    exact = line.claim.role == "exact"
    judged = {n: line.entries[n].state for n in found}  # a part is only called what its claim may be called
    shown = {n: f.state if judged[n] in DECIDED else judged[n] for n, f in found.items()}
    rows = "".join(f"<span>{n}</span>{_row(f, ends, at, exact, shown[n])}" for n, f in found.items())
    marks = "".join(
        f'<text x="{at(v):.1f}%" y="11" text-anchor="{"start" if at(v) < 12 else "end" if at(v) > 88 else "middle"}">'
        f"{escape(number(v))}</text>"
        for v in ends
        if math.isfinite(v)
    )
    words = f"{part.effect.unit}: {part.predicate.bar()} needed"
    alt = "; ".join(f"{n} {f.bound} {number(f.effect)}, 95 % interval {interval(f)}" for n, f in found.items())
    return (
        f'<div class="part" role="img" aria-label="{escape(f"{words}. {alt}")}">'
        f'<p>{escape(words)}</p><div class="rows">{rows}<span></span><svg class="scale">{marks}</svg></div></div>'
    )


def _axis(values: list[float], log: bool) -> Callable[[float], float]:
    """Return a function from a number to per cent of the width, with room at both ends."""
    scale = math.log if log else float
    low, high = scale(min(values)), scale(max(values))
    room = (high - low) * 0.12 or abs(high) * 0.5 or 1.0
    low, high = low - room, high + room

    def at(value: float) -> float:
        if math.isinf(value):
            return 100.0 if value > 0 else 0.0
        if log and value <= 0:
            return 0.0
        return 100 * (scale(value) - low) / (high - low)

    return at


def _row(found: Finding, ends: tuple[float, float], at: Callable[[float], float], exact: bool, state: str) -> str:
    left, right = at(ends[0]), at(ends[1])
    out = ['<rect class="track" width="100%" height="100%"/>']
    out += [f'<rect class="holds" x="{left:.1f}%" width="{right - left:.1f}%" height="100%"/>']
    out += [
        f'<line class="bar" x1="{at(v):.1f}%" x2="{at(v):.1f}%" y1="0" y2="100%"/>' for v in ends if math.isfinite(v)
    ]
    if not exact and not math.isnan(found.low):
        low, high = at(found.low), at(found.high)
        out.append(f'<line class="span" x1="{low:.1f}%" x2="{high:.1f}%" y1="50%" y2="50%"/>')
        for end, x in ((found.low, low), (found.high, high)):
            tip = ("M7,-4L0,0L7,4" if x < 50 else "M-7,-4L0,0L-7,4") if math.isinf(end) else "M0,-5V5"
            out.append(f'<svg x="{x:.1f}%" y="50%" overflow="visible"><path class="tip" d="{tip}"/></svg>')
    out.append(f'<circle class="dot {_slug(state)}" cx="{at(found.effect):.1f}%" cy="50%" r="5"/>')
    return f'<svg class="row" aria-hidden="true">{"".join(out)}</svg>'


def _footer(preset: str, here: dict[str, Here]) -> str:
    facts = machine()
    versions = ", ".join(f"{n} {facts[n]}" for n in ("falsework", "python", "torch", "numpy", "scikit-learn"))
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    other = sum(h.other for h in here.values())
    left = f"{other} results here were made with overrides, by an older version or of other data, and are left out."
    return (
        "<footer><h2>How to read this</h2>"
        "<p><b>Supported</b>: the whole 95 % interval lies beyond the margin that was fixed before, in the green band. "
        "<b>Refuted</b>: the whole interval falls short of it. <b>Undecided</b>: it holds both. <b>Exact</b>: a theorem, "
        "or true by construction; only the arithmetic was on trial. <b>Not judged</b>: fewer than three seeds, or a "
        "first look at a smaller preset. <b>Interpretive</b>: an opinion or a forecast. <b>Strict</b>: what is left of a "
        "primary claim's verdict when all primary claims are taken together (Holm). <b>Cost</b>: core-seconds and FLOPs "
        "of the claim's whole notebook. Small models on small pictures: a verdict holds in its scope, no further.</p>"
        f"<p>Written {date}, preset {escape(preset)}, on {escape(facts['cpu'])}, {escape(facts['system'])}. "
        f"{escape(versions)}. {left if other else ''}</p></footer>"
    )
