"""Data goes one way: the contract holds, a planted breach is caught, five packages live without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lint-imports on the falsework in `folder`/lib, which goes before the installed one."""
    env = os.environ | {"PYTHONPATH": str(folder / "lib"), "COLUMNS": "200"}
    command = [sys.executable, "-c", LINT, "--no-cache"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the library to plant things in; its nets surely reach torch."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "lib" / "falsework", tmp_path / "lib" / "falsework", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "lib/falsework/nets/planted.py").write_text("import torch\n")  # allowed there
    with (tmp_path / "lib/falsework/nets/__init__.py").open("a") as file:
        file.write("\nimport falsework.nets.planted\n")
    return tmp_path


def test_the_contract_holds() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_copy_holds_before_anything_forbidden_is_planted(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("core", "import falsework.training"),  # upwards
        ("world", "import falsework.tokens"),  # sideways
        ("claims", "import torch"),  # a claim sees tables only
        ("figures", "import falsework.nets"),  # downwards, but torch waits there
    ],
)
def test_a_planted_import_is_caught(copy: Path, where: str, line: str) -> None:
    (copy / "lib/falsework" / where / "planted.py").write_text(line + "\n")
    done = lint(copy)
    assert done.returncode == 1 and f"falsework.{where}.planted" in done.stdout, done.stdout + done.stderr


WALK = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(getattr(package, "__path__", []), package.__name__ + "."):
    importlib.import_module(module.name)
print(*sorted(name for name in ("torch", "torchvision") if name in sys.modules))
"""


@pytest.mark.parametrize("name", ["core", "world", "data", "claims", "figures", "cli"])
def test_every_module_of_it_imports_without_torch(name: str) -> None:
    command = [sys.executable, "-c", WALK, f"falsework.{name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "", f"falsework.{name} pulls in {done.stdout.strip()}"


def test_the_walk_would_see_torch() -> None:
    done = subprocess.run([sys.executable, "-c", WALK, "torch.version"], capture_output=True, text=True)
    assert done.stdout.split() == ["torch"], done.stderr
