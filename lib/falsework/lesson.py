"""What a notebook calls: begin, measure, exhibits, cards, show, check, guess. The library's only voice.

Every figure and card is drawn from published evidence; what was trained here is added as "yours" and never moves a
verdict. Cells that train carry the tag nbval-ignore-output, because what they print depends on the machine.
"""

from __future__ import annotations

import html
import inspect
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from falsework import figures
from falsework.claims.published import Judged, judge_published
from falsework.claims.registry import BY_ID, quote
from falsework.core import config
from falsework.core.artefacts import write_atomic
from falsework.core.errors import Refused, one_of
from falsework.core.evidence import Evidence, load_evidence
from falsework.core.paths import root
from falsework.experiments import MODULES, OPEN, exhibit_path, experiment_of

REHEARSAL = "This run is a rehearsal, not judged; the verdict shown is the committed one."
PARAMETERS = ("PRESET", "SEEDS", "OVERRIDES")
DIAL: list[tuple[str, str, float | None]] = [
    ("00", "the world", 13.0),
    ("01", "iGPT", 0.0),
    ("02", "DALL-E 1", 20.3),
    ("03", "CLIP", 9.6),
    ("04", "captioners", 17.2),
    ("05", "diffusion classifier", 7.6),
    ("06", "DALL-E 2", 2.0),  # the style asked for, one of four
    ("07", "DALL-E 3", 11.4),
    ("08", "noise ladder", 7.6),
    ("09", "without captions", 0.0),
    ("10", "verdicts", 0.0),
]


def begin(notebook: str, preset: str = "laptop", seeds: object = (0,), overrides: object = None) -> Run:
    """Check a notebook's three parameters, print one human line, and return its Run.

    Raises Refused, in one sentence, for an unknown notebook, preset, arm or field, a value of the wrong type, or any
    other ALL_CAPS name among the caller's variables (papermill only warns about a misspelt parameter).
    """
    frame = inspect.currentframe()
    caller = frame.f_back.f_globals if frame is not None and frame.f_back is not None else {}
    if caller.get("__name__") == "__main__":
        config.check_parameters(caller, PARAMETERS)
    one_of("The notebook", notebook, MODULES)
    preset, checked = config.check_preset(preset), config.check_seeds(seeds)
    overrides = {} if overrides is None else overrides
    experiment = experiment_of(notebook)
    arms = config.apply_overrides(experiment.arms(preset) if experiment else {}, overrides)
    if preset == "gpu" and any(r is not None for r in arms.values()):
        from falsework.recipes import device_of

        device_of(preset)
    run = Run(notebook, preset, checked, dict(overrides), root())  # type: ignore[call-overload]
    print(run.greeting(arms))
    return run


@dataclass(frozen=True)
class Run:
    """One reading of one notebook: its preset, the seeds to train here, and the evidence beside them."""

    notebook: str
    preset: str
    seeds: tuple[int, ...]
    overrides: Mapping[str, Any]
    root: Path

    def greeting(self, arms: Mapping[str, Any]) -> str:
        """Return one line for a human: what will be trained here and about how long it takes."""
        if self.seeds and arms and not any(r is not None for r in arms.values()):
            return "Nothing to train: fresh test sets are drawn and read here, which takes less than a minute each."
        if self.seeds and self.notebook in OPEN:
            return f"Your own arms are trained below at {self.preset}, with seed {', '.join(map(str, self.seeds))}."
        if not self.seeds or not arms:
            return "Nothing to train here: the figures below show the published evidence."
        seeds = "seed " + ", ".join(map(str, self.seeds))
        if self.preset == "smoke":
            return f"A rehearsal of {seeds}, seconds; the figures below show the published evidence."
        known = None
        if self.published and self.published.manifest["preset"] == self.preset and not self.overrides:
            known = self.published.manifest.get("core_seconds_by_seed")
        # several jobs share the cores without loss; one alone gets 1.6 times the speed out of two threads
        jobs = len(self.seeds) * sum(r is not None for r in arms.values())
        speed = min(jobs, os.cpu_count() or 1) if jobs > 1 else 1.6
        cost = sum(known.get(str(s), min(known.values())) for s in self.seeds) if known else 0
        about = f"about {cost / speed:.0f} s on the machine that published" if known else "minutes"
        return f"Training {seeds} at {self.preset}, {about}; yours appears beside the published evidence."

    @cached_property
    def published(self) -> Evidence | None:
        """Return the published evidence that figures and cards use: this preset's, or laptop's when it has none."""
        for preset in dict.fromkeys((self.preset, "laptop")):
            found = load_evidence(self.root / "evidence", self.notebook, preset)
            if found:
                return found
        return None

    def published_at(self, preset: str) -> Run:
        """Return this notebook as read at another preset, with nothing trained: its published rows and exhibits."""
        return replace(self, preset=config.check_preset(preset), seeds=(), overrides={})

    def measure(self, name: str) -> pd.DataFrame:
        """Return a measure's rows: published ones, and "yours" for the seeds trained here (column "source")."""
        rows: list[dict[str, Any]] = []
        if self.published:
            rows += [{"source": "published", **r} for r in self.published.rows(name)]
        rows += [{"source": "yours", **r} for r in self._mine(name)[0]]
        if not rows:
            raise Refused(
                f"There is no evidence for {name!r} of {self.notebook} and SEEDS is empty; put a seed in SEEDS."
            )
        return pd.DataFrame(rows)

    def exhibits(self, name: str | None = None) -> dict[str, np.ndarray]:
        """Return the published arrays for pictures; with a measure's name, over them those of the first seed trained."""
        published = self.published.exhibits if self.published else {}
        return published if name is None else {**published, **self._mine(name)[1]}

    def curves(self, name: str) -> pd.DataFrame:
        """Return training curves (arm, seed, step, loss in nats), published and yours."""
        rows = [{"source": "published", **r} for r in (self.published.curves() if self.published else [])]
        return pd.DataFrame(rows + [{"source": "yours", **r} for r in self._mine(name)[2]])

    def published_table(self, name: str) -> pd.DataFrame:
        """Return the published rows of a measure alone: the same wherever the notebook runs."""
        if not self.published:
            raise Refused(f"There is no published evidence for {self.notebook}; run falsework publish {self.notebook}.")
        return pd.DataFrame([{"source": "published", **r} for r in self.published.rows(name)])

    def _mine(self, name: str) -> tuple[list[dict], dict[str, np.ndarray], list[dict]]:
        if not self.seeds:
            return [], {}, []
        from falsework.experiments.runner import measure

        show = _refreshing() if _live() else None
        experiment = experiment_of(self.notebook)
        assert experiment is not None
        without, what = (
            experiment.shown(self.preset, self.seeds),
            (self.notebook, (name,), self.preset, self.seeds, self.overrides),
        )
        found = measure(*what, self.root, show=show, without=without)[name]
        arrays = {k: v for r in reversed(found) for k, v in r.arrays.items()}  # of several seeds the first one's
        return [row for r in found for row in r.rows], arrays, [row for r in found for row in r.curve]

    def net(self, arm: str, mine: bool = False) -> Net:
        """Return a trained network to play with: the one that ships with the course, or the first that you trained.

        Raises Refused for an arm that does not ship, and for yours when there is none.
        """
        experiment = experiment_of(self.notebook)
        assert experiment is not None
        one_of("The network to play with", arm, experiment.ships)
        from falsework import recipes
        from falsework.core.artefacts import Store

        if mine:
            if not self.seeds:
                raise Refused(f"You have trained no {arm!r}: SEEDS is empty; put a seed in SEEDS.")
            recipe = config.apply_overrides(experiment.arms(self.preset), self.overrides)[arm]
            seed = self.seeds[0]
            return Net(recipe, recipes.obtain(recipe, seed, self.preset, Store(self.root / "artefacts")).model, seed)
        recipe, seed = experiment.arms("laptop")[arm], experiment.ships_seed(arm)
        return Net(recipe, recipes.shipped(recipe, seed, exhibit_path(self.root, self.notebook, arm)), seed)

    def card(self, claim: str) -> Card:
        """Return the card of a claim: quote, our wording, verdict from published evidence."""
        one_of("The claim", claim, BY_ID)
        return Card(self.verdicts[claim], rehearsal=self.preset == "smoke")

    @cached_property
    def verdicts(self) -> dict[str, Judged]:
        """Return every claim of the talk, judged from published evidence."""
        return judge_published(self.root / "evidence")

    def dial(self) -> figures.Figure:
        """Return the language dial with this notebook marked."""
        return figures.dial(DIAL, self.notebook[:2])

    def guess(self, question: str, answer: object, measure: str = "", metric: str = "", **context: object) -> None:
        """Keep the reader's guess in runs/guesses.json under the notebook's name.

        With a measure and metric (a share, 0 to 1) the guess is a number of 100, and 10_verdicts scores it.
        Raises Refused for a scored guess that is not a number from 0 to 100.
        """
        if metric and not (type(answer) in (int, float) and 0 <= answer <= 100):  # type: ignore[operator]
            raise Refused(f"Your guess is {answer!r}, but must be a number from 0 to 100.")
        if not _live():
            print("A guess is kept when you run this notebook yourself, in JupyterLab.")
            return
        kept = guesses(self.root)
        scored = {"measure": measure, "metric": metric, "where": context} if metric else {}
        kept.setdefault(self.notebook, {})[question] = {"answer": answer, **scored}
        write_atomic(
            self.root / "runs" / "guesses.json", (json.dumps(kept, indent=1, ensure_ascii=False) + "\n").encode()
        )
        print("Your guess is kept.")


class Net(NamedTuple):
    """A recipe and a network that was trained by it, with this seed."""

    recipe: Any
    model: Any
    seed: int = 0


def guesses(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the kept guesses, by notebook and question; {} when there are none or the file cannot be read."""
    try:
        kept = json.loads((folder / "runs" / "guesses.json").read_text("utf-8"))
        return kept if isinstance(kept, dict) else {}
    except (OSError, ValueError):
        return {}


def _live() -> bool:
    """Return whether a person sits at this notebook: Jupyter names the session, papermill and nbval do not."""
    return bool(os.environ.get("JPY_SESSION_NAME"))


def _refreshing() -> Callable[[np.ndarray], None]:
    """Return a function that shows pictures in one place of a live notebook, each time over the last."""
    from IPython.display import display

    shown: list[Any] = []

    def show(pictures: np.ndarray) -> None:
        sheet = figures.picture(figures.sheet(pictures, 8, times=5), "What the model in training makes at this moment.")
        if shown:
            shown[0].update(sheet)
        else:
            shown.append(display(sheet, display_id=True))

    return show


def scored_guesses(folder: Path) -> list[tuple[str, float, float]]:
    """Return (question, guess, measured), both of 100, for every kept guess that published evidence can score."""
    out = []
    for notebook, asked in guesses(folder).items():
        evidence = load_evidence(folder / "evidence", notebook, "laptop") if notebook in MODULES else None
        for question, kept in asked.items() if isinstance(asked, dict) else ():
            if evidence is None or not isinstance(kept, dict) or "metric" not in kept:
                continue
            wanted = {"metric": kept["metric"], **kept["where"]}
            rows = [r["value"] for r in evidence.rows(kept["measure"]) if all(r.get(k) == v for k, v in wanted.items())]
            if rows:
                out.append((question, float(kept["answer"]), 100 * float(np.mean(rows))))
    return out


@dataclass(frozen=True)
class Card:
    """A claim and its verdict, as a card in a notebook and as plain text elsewhere."""

    judged: Judged
    rehearsal: bool = False

    def __repr__(self) -> str:
        claim, verdict = self.judged.claim, self.judged.verdict
        lines = [
            f"{claim.id}: {verdict.state}{', stale' if self.judged.stale else ''}",
            claim.wording,
            verdict.sentence,
        ]
        return "\n".join(lines + [REHEARSAL] * self.rehearsal)

    def _repr_html_(self) -> str:
        claim, verdict, esc = self.judged.claim, self.judged.verdict, html.escape
        stale = " · revised after evidence" * claim.revised_after_evidence
        stale += f" · stale: {', '.join(self.judged.stale)} changed since" if self.judged.stale else ""
        said = f"{esc(quote(claim))}<br><i>{esc(claim.gloss)}</i>" if claim.quote_key else ""  # a reader quotes nobody
        notes = [f"Scope: {claim.scope}."] * bool(claim.scope) + [f"Beware: {claim.pitfall}"] * bool(claim.pitfall)
        return (
            f'<div style="border:1px solid #d0d7de;border-left:8px solid {figures.STATE_COLOURS[verdict.state]};'
            'border-radius:6px;padding:.7em 1em;margin:.6em 0;max-width:46em">'
            f"<div><b>{claim.id}</b> · <b>{verdict.state}</b>{esc(stale)}</div>"
            f'<div style="margin:.35em 0">{said}</div>'
            f"<div>We test: {esc(claim.wording)}</div><div><b>{esc(verdict.sentence)}</b></div>"
            f'<div style="opacity:.7;font-size:90%">{esc(" ".join(notes))}</div>'
            f"{f'<div><i>{REHEARSAL}</i></div>' if self.rehearsal else ''}</div>"
        )


def table(rows: Any) -> Any:
    """Return rows (a DataFrame or a list of dicts) as a table without row numbers, wrapped for reading."""
    frame = pd.DataFrame(rows)
    left = [{"selector": "th, td", "props": "text-align:left;vertical-align:top"}]
    return Table(frame.to_string(index=False, max_colwidth=90), frame.style.hide(axis="index").set_table_styles(left))


@dataclass(frozen=True)
class Table:
    """A table: HTML in a notebook, aligned columns as text."""

    text: str
    styled: Any

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.styled.set_uuid("table").to_html()


def show(thing: Any) -> Any:
    """Return a library function's own source, coloured, so that nothing in the lesson hides behind an import."""
    from IPython.display import Code

    return Code(inspect.getsource(thing), language="python")


def check(exercise: str, passed: bool, hint: str = "") -> None:
    """Say whether an exercise's own test holds; a failure gives the hint and raises nothing."""
    print(f"{exercise}: {'right.' if bool(passed) else 'not yet. ' + hint}")
