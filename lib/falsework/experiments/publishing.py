"""From runs/ to evidence/: only a preset's own seeds, without overrides, all of them, and never a rehearsal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from falsework.core.artefacts import Store
from falsework.core.errors import Refused
from falsework.core.evidence import publish
from falsework.experiments import exhibit_path, experiment_of
from falsework.experiments.jobs import arms_of, collect


def publish_notebook(notebook: str, preset: str, root: Path) -> Path:
    """Copy a notebook's measured results at a preset to evidence/ and return the folder.

    Raises Refused for smoke, for a notebook that measures nothing, and when an (arm, seed) is missing.
    """
    experiment = experiment_of(notebook)
    if experiment is None:
        raise Refused(f"The notebook {notebook!r} measures nothing, so there is nothing to publish.")
    if preset == "smoke":
        raise Refused("The preset 'smoke' is a rehearsal and is never published; publish laptop, overnight or gpu.")
    arms, seeds, results = arms_of(experiment, preset, {}), experiment.seeds[preset], []
    for name in experiment.measures:
        have, missing = collect(experiment, name, preset, arms, seeds, root / "runs")
        if missing:
            pairs = ", ".join(f"{arm} seed {seed}" for arm, seed in missing)
            raise Refused(
                f"{name} of {notebook} at {preset} lacks {pairs}; run falsework measure {notebook} --preset {preset}."
            )
        results += have
    # one training curve per (arm, seed), not one per measure
    first = {(r.arm, r.seed): r for r in reversed(results)}
    results = [r if first[(r.arm, r.seed)] is r else replace(r, curve=[]) for r in results]
    models = {(r.arm, r.seed): r.facts for r in results}
    measuring = sum(r.facts["measure_seconds"] for r in results)
    training = sum(f.get("core_seconds", 0.0) for f in models.values())
    machines: list[dict[str, str]] = []  # a night may be measured in pieces, on several
    for r in results:
        if r.facts["machine"] not in machines:
            machines.append(r.facts["machine"])
    facts = {
        "machine": machines[0],
        "other_machines": machines[1:],
        "measured": max(r.facts.get("measured", "") for r in results),
        "seeds": list(seeds),
        "models": {
            f"{a}/{s}": {k: v for k, v in f.items() if k not in ("machine", "measure_seconds", "measured")}
            for (a, s), f in models.items()
        },
        "training_core_seconds": round(training, 1),
        "measuring_core_seconds": round(measuring, 1),
        "core_seconds_by_seed": {
            str(seed): round(
                sum(f.get("core_seconds", 0.0) for (_, s), f in models.items() if s == seed)
                + sum(r.facts["measure_seconds"] for r in results if r.seed == seed),
                1,
            )
            for seed in seeds
        },
    }
    if preset == "laptop" and experiment.ships:
        from falsework.recipes import obtain, ship

        for arm in experiment.ships:
            own = obtain(arms[arm], experiment.ships_seed(arm), preset, Store(root / "artefacts"))
            ship(own, exhibit_path(root, notebook, arm))
    return publish(root / "evidence", notebook, preset, results, facts, experiment.data())
