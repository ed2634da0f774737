"""Five rehearsal steps of every recipe against the losses in golden.json.

If a loss moved, behaviour changed: bump the recipe's integer in core/versions.py, so that old models and evidence
are seen to be old, and redraw the file with

    python tests/unit/test_golden.py

which refuses to overwrite losses that moved under an unchanged integer.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from falsework.core import versions
from falsework.core.config import replace_field

GOLDEN = Path(__file__).with_name("golden.json")
STEPS, TOLERANCE = 5, 1e-3


def five_steps(name: str) -> dict[str, Any]:
    """Return a recipe's version and its losses in nats at the first five steps of the smoke preset, seed 0."""
    torch.set_num_threads(1)
    smoke = importlib.import_module(f"falsework.recipes.{name}").PRESETS["smoke"]
    recipe = replace_field(smoke, "train.steps", STEPS)
    with tempfile.TemporaryDirectory() as folder:
        recipe.fit(recipe.build(0), 0, Path(folder), None)
        log = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == list(range(STEPS))
    return {"version": versions.RECIPES[name], "losses": [round(row["loss"], 6) for row in log]}


def fault(name: str, old: dict[str, Any] | None, new: dict[str, Any]) -> str | None:
    """Return what is wrong between the golden entry and a fresh one, or None."""
    redraw = "redraw with: python tests/unit/test_golden.py"
    if old is None:
        return f"{name} has no golden losses; {redraw}"
    if new["version"] != old["version"]:
        return f"{name} is version {new['version']}, the golden losses are of version {old['version']}; {redraw}"
    if new["losses"] != pytest.approx(old["losses"], rel=TOLERANCE):
        return (
            f"the losses of {name} moved from {old['losses']} to {new['losses']}, but its version is still "
            f"{old['version']}: bump it in core/versions.py, then {redraw}"
        )
    return None


@pytest.mark.parametrize("name", versions.RECIPES)
def test_five_steps_of_a_recipe_give_the_losses_on_record(name):
    found = fault(name, json.loads(GOLDEN.read_text()).get(name), five_steps(name))
    assert found is None, found


def test_no_golden_losses_are_kept_of_recipes_that_are_gone():
    assert set(json.loads(GOLDEN.read_text())) == set(versions.RECIPES)


def test_moved_losses_are_a_fault_until_the_version_is_bumped_and_the_file_redrawn():
    old = {"version": 1, "losses": [3.0, 2.0]}
    assert fault("x", old, {"version": 1, "losses": [3.002, 2.001]}) is None
    assert "bump it" in fault("x", old, {"version": 1, "losses": [3.0, 2.003]})
    assert "bump it" in fault("x", old, {"version": 1, "losses": [3.0]})
    assert "of version 1; redraw" in fault("x", old, {"version": 2, "losses": [3.0, 2.0]})
    assert "no golden" in fault("x", None, old)


def redraw() -> int:
    """Write golden.json anew; refuse, and write nothing, when losses moved under an unchanged version."""
    old = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    new = {name: five_steps(name) for name in sorted(versions.RECIPES)}
    moved = [t for n in new if n in old and "bump it" in (t := fault(n, old[n], new[n]) or "")]
    for text in moved:
        print(text, file=sys.stderr)
    if moved:
        return 1
    GOLDEN.write_text(json.dumps(new, indent=1) + "\n")
    print(f"Wrote {GOLDEN.name}: {', '.join(new)}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(redraw())
