"""What is committed under evidence/ was measured by the recipes, data and measures that stand here now."""

from __future__ import annotations

import pytest

from falsework.core.evidence import load_evidence
from falsework.core.paths import root
from falsework.experiments import MODULES, exhibit_path, experiment_of
from falsework.experiments.jobs import arms_of, result_key
from falsework.recipes import shipped

PUBLISHED = sorted(p.parent for p in (root() / "evidence").glob("*/*/manifest.json"))


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_published_evidence_bears_the_keys_of_what_stands_here(folder):
    notebook, preset = folder.parent.name, folder.name
    evidence, experiment = load_evidence(root() / "evidence", notebook, preset), experiment_of(notebook)
    assert evidence is not None and experiment is not None and not evidence.stale
    assert evidence.manifest["data"] == dict(experiment.data())
    arms = arms_of(experiment, preset, {})
    now = {
        f"{name}/{arm}/{seed}": result_key(experiment, name, preset, arm, seed, recipe)
        for name in experiment.measures
        for arm, recipe in arms.items()
        for seed in experiment.seeds_of(preset, arm, experiment.seeds[preset])
    }
    assert evidence.manifest["keys"] == now, "a preset changed after it was measured: measure and publish again"


def test_every_network_that_ships_is_of_the_recipe_that_stands_and_all_are_small():
    wanted = set()
    for notebook in MODULES:
        experiment = experiment_of(notebook)
        for arm in experiment.ships if experiment else ():
            path = exhibit_path(root(), notebook, arm)
            shipped(experiment.arms("laptop")[arm], experiment.ships_seed(arm), path)
            wanted.add(path)
    assert wanted == set((root() / "exhibits").glob("*/*")), "a file that nobody ships, or one that is missing"
    assert sum(p.stat().st_size for p in wanted) < 15_000_000
