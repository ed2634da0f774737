"""What each notebook measures: arms (recipes) x seeds -> tidy rows. One file per notebook; the runner trains and measures.

A measure is a plain function `(subject) -> Measured`, found by its name in versions.MEASURES as "<notebook>/<name>".
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from falsework.core.artefacts import Store
from falsework.core.errors import one_of
from falsework.core.evidence import Row
from falsework.core.stats import MIN_SEEDS


@dataclass(frozen=True)
class Subject:
    """What a measure looks at: one arm at one seed. `model` is None for arms that need no training.

    `store` holds trained models, for a measure that needs a judge beside its subject. `cost`: what the model cost, with
    "flops", "core_seconds" and "parameters", and the same of its "parents"; empty without a model.
    """

    preset: str
    arm: str
    seed: int
    recipe: Any
    model: Any
    store: Store | None = None
    cost: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """Rows (metric, value and context; arm and seed are added) and small arrays for pictures."""

    rows: list[Row]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A notebook's measures. `arms(preset)` gives recipe or None by arm; `seeds` those a preset publishes."""

    notebook: str
    arms: Callable[[str], Mapping[str, Any]]
    seeds: Mapping[str, tuple[int, ...]]
    measures: Mapping[str, Callable[[Subject], Measured]]
    data: Callable[[], Mapping[str, str]]
    watch: Callable[[Any, Any], np.ndarray] | None = None  # (recipe, model in training) -> pictures, uint8 (N, S, S, 3)
    # preset -> arm -> its only seeds, for an arm that is shown from few seeds and not judged
    few: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)
    # measure -> (preset) -> the recipes of the judges that it asks, always seed 0: part of the result's key
    judges: Mapping[str, Callable[[str], tuple[Any, ...]]] = field(default_factory=dict)
    asking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # measure -> arms that ask its judges; else all
    # measures that notebooks draw from published rows alone and no claim reads: `falsework run` leaves them out
    published_only: tuple[str, ...] = ()
    # arms whose laptop weights, of their first seed, go to exhibits/: to play with before any training
    ships: tuple[str, ...] = ()

    def seeds_of(self, preset: str, arm: str, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """Return those of the seeds that this arm is trained with."""
        only = self.few.get(preset, {}).get(arm)
        return seeds if only is None else tuple(s for s in seeds if s in only)

    def shown(self, preset: str, seeds: tuple[int, ...]) -> frozenset[str]:
        """Return the arms that a preset shows and does not judge; a reader who trains seed 0 alone has its looks too.

        A notebook and `falsework run` leave them out; `falsework measure` trains them, for the published figures.
        """
        few = {arm: own for arm, own in self.few.get(preset, {}).items() if len(own) < MIN_SEEDS}
        return frozenset(arm for arm, own in few.items() if seeds != (0,) or 0 not in own)

    def ships_seed(self, arm: str) -> int:
        """Return the seed of an arm whose weights ship."""
        return self.seeds_of("laptop", arm, self.seeds["laptop"])[0]


def exhibit_path(root: Path, notebook: str, arm: str) -> Path:
    """Return where the shipped weights of an arm lie."""
    return root / "exhibits" / notebook / f"{arm}.safetensors"


MODULES = {
    "00_the_world": "the_world",
    "01_igpt": "igpt",
    "02_dalle1": "dalle",
    "03_clip": "clip",
    "04_captioners": "captioners",
    "05_diffusion_classifier": "diffusion",
    "06_dalle2": "dalle2",
    "07_dalle3": "dalle3",
    "08_noise_ladder": "noise_ladder",
    "09_without_captions": "without_captions",
    "10_verdicts": None,
    "11_your_claim": None,
}
OPEN = ("11_your_claim",)  # where readers write arms of their own, see `falsework.yours`


def experiment_of(notebook: str) -> Experiment | None:
    """Return a notebook's experiment, or None for one that measures nothing; raises Refused for an unknown name."""
    module = MODULES[one_of("The notebook", notebook, MODULES)]
    return importlib.import_module(f"falsework.experiments.{module}").EXPERIMENT if module else None
