"""Trained weights on disk, named by content: artefacts/<recipe>/<preset>-<key>/.

Files of one artefact: weights.safetensors, recipe.json, log.jsonl, manifest.json (digests of the others, cost, machine).
An artefact is made in <preset>-<key>.part and renamed when complete, under a lock, so several runs share a store;
the .part folder with its checkpoint survives a crash. Nothing is unpickled, nothing is found by "the latest".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from falsework.core.errors import Refused

FILES = ("weights.safetensors", "recipe.json", "log.jsonl")


def key_of(description: Mapping[str, Any]) -> str:
    """Return 12 hex digits that depend on every value of a JSON-able description."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file or nothing; a full or read-only disk becomes one sentence and leaves the old file as it was."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, path)
    except OSError as fault:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise disk_fault(path, fault) from fault


def disk_fault(path: Path, fault: Exception) -> Refused:
    """Return the sentence for a disk that is full, read-only or gone; what was saved earlier is untouched."""
    why = getattr(fault, "strerror", None) or fault  # safetensors has an error of its own
    return Refused(f"Cannot write {path.name} in {path.parent}: {why}; what was saved earlier is intact.")


def seal(facts: Mapping[str, Any]) -> bytes:
    """Return a manifest as JSON with a digest of itself, so that an edited one is noticed."""
    return (json.dumps({**facts, "seal": key_of(facts)}, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def unseal(path: Path) -> dict[str, Any]:
    """Return a sealed manifest without its seal; raises ValueError when it is unreadable or was edited."""
    try:
        facts = json.loads(path.read_text("utf-8"))
        seal_given = facts.pop("seal")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as fault:
        raise ValueError(f"{path.name} is unreadable") from fault
    if key_of(facts) != seal_given:
        raise ValueError(f"{path.name} does not match its own digest")
    return facts


def machine() -> dict[str, str]:
    """Return what a reader needs to compare times: processor, system, and versions of what computes."""
    names = ("falsework", "torch", "numpy", "scikit-learn")
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [x.partition(":")[2].strip() for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = f"{lines[0]} x {os.cpu_count()}" if lines else cpu
    return {"cpu": cpu, "system": platform.system(), "python": platform.python_version()} | {
        n: version(n) for n in names
    }


@dataclass(frozen=True)
class Artefact:
    """A complete, verified artefact: its folder and manifest."""

    folder: Path
    manifest: dict[str, Any]

    def weights(self) -> dict[str, np.ndarray]:
        """Return all tensors by name."""
        return load_file(self.folder / "weights.safetensors")

    def log(self) -> list[dict[str, Any]]:
        """Return the training log, one dict a line: step, loss in nats, metrics."""
        return [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]


class Store:
    """A folder of artefacts that several runs may share.

    `device`, when given, is where its networks are trained and run, whatever their preset says: for rehearsals alone.
    """

    def __init__(self, root: Path, device: str | None = None) -> None:
        self.root, self.device = Path(root), device

    def folder(self, recipe: str, preset: str, key: str) -> Path:
        """Return where an artefact is or would be."""
        return self.root / recipe / f"{preset}-{key}"

    def find(self, recipe: str, preset: str, key: str, say: Callable[[str], None] = print) -> Artefact | None:
        """Return the artefact if it is whole, whatever preset it was made for: its key says all that it depends on.

        A damaged one is named through `say` and counts as missing.
        """
        own = self.folder(recipe, preset, key)
        for folder in (own, *(f for f in sorted(self.root.glob(f"{recipe}/*-{key}")) if f != own)):
            fault = _fault(folder) if folder.is_dir() else "missing"
            if fault is None:
                return Artefact(folder, unseal(folder / "manifest.json"))
            if folder == own and folder.is_dir():
                say(f"The artefact {folder.name} of {recipe} is damaged ({fault}); it is made again.")
        return None

    def make(
        self,
        recipe: str,
        preset: str,
        key: str,
        description: Mapping[str, Any],
        build: Callable[[Path], tuple[Mapping[str, np.ndarray], Mapping[str, Any]]],
        say: Callable[[str], None] = print,
    ) -> Artefact:
        """Return the artefact, building it if it is missing.

        `build(folder)` may keep checkpoints and log.jsonl in `folder` and returns (weights, facts for the manifest).
        Two runs that want the same artefact wait for each other: it is built once.
        """
        # before any write: a read-only shared store must serve; a damaged one is named below, under the lock
        found = self.find(recipe, preset, key, say=lambda _: None)
        if found is not None:
            return found
        folder = self.folder(recipe, preset, key)
        part = folder.with_name(folder.name + ".part")
        try:
            part.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_name(folder.name + ".lock"))
            with lock:
                found = self.find(recipe, preset, key, say)
                if found is not None:
                    shutil.rmtree(part, ignore_errors=True)
                    return found
                if folder.exists():  # damaged: removed under the lock alone, or a fresh one might be hit
                    shutil.rmtree(folder)
                part.mkdir(parents=True, exist_ok=True)
                weights, facts = build(part)
                # not save_file: that one leaves a file which only its owner may read, and stores are shared
                packed = save({k: np.ascontiguousarray(v) for k, v in weights.items()})
                write_atomic(part / "weights.safetensors", packed)
                (part / "recipe.json").write_text(json.dumps(description, indent=1, sort_keys=True) + "\n")
                (part / "log.jsonl").touch()
                manifest = {
                    "key": key,
                    "digests": {n: file_digest(part / n) for n in FILES},
                    "machine": machine(),
                    **facts,
                }
                write_atomic(part / "manifest.json", seal(manifest))
                for extra in part.iterdir():
                    if extra.name not in (*FILES, "manifest.json"):
                        extra.unlink()
                os.replace(part, folder)
                return Artefact(folder, manifest)
        except (OSError, SafetensorError) as fault:
            raise disk_fault(folder, fault) from fault


def _fault(folder: Path) -> str | None:
    """Return what is wrong with an artefact's folder, or None."""
    try:
        manifest = unseal(folder / "manifest.json")
        digests = {n: manifest["digests"][n] for n in FILES}
    except (ValueError, KeyError, TypeError):
        return "manifest.json is unreadable or was edited"
    for name, digest in digests.items():
        try:
            same = file_digest(folder / name) == digest
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError:
            return f"{name} is unreadable"
        if not same:
            return f"{name} does not match its digest"
    if key_of(json.loads((folder / "recipe.json").read_text())) != folder.name.rpartition("-")[2]:
        return "its recipe does not match its key"
    try:
        load_file(folder / "weights.safetensors")
    except (SafetensorError, OSError, ValueError):
        return "its weights are unreadable"
    return None
