"""The waist of the course: where data, tokens, nets, objectives and training meet; one small file per paper.

A recipe is a frozen dataclass that can build its network and train it. `obtain` gives the trained network of a
recipe and seed, from the store when it is there, else by training it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from falsework.core import versions
from falsework.core.artefacts import Artefact, Store, key_of, write_atomic
from falsework.core.config import describe
from falsework.core.errors import Refused
from falsework.training import Fit

Watch = Callable[[nn.Module, int], None]


class Recipe(Protocol):
    """What every recipe offers. Parent recipes (a CLIP inside an unCLIP) are fields, trained with the same seed.

    The network of a recipe with parents holds theirs, frozen, under the parents' names; so its weights are complete.
    """

    name: ClassVar[str]

    def parents(self) -> dict[str, Recipe]:
        """Return the parent recipes by field name."""
        ...

    def data_digest(self) -> str:
        """Return the digest of the data it trains on."""
        ...

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return the network: freshly initialised from the seed, and shaped to take `weights`.

        A recipe with parents is given at least theirs, each name after the parent's: "tokenizer.codes".
        """
        ...

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Watch | None) -> Fit:
        """Train the network in place."""
        ...


@dataclass(frozen=True)
class Trained:
    """A trained network in eval mode, and the artefact it came from."""

    model: nn.Module
    artefact: Artefact
    key: str


def device_of(preset: str) -> str:
    """Return "cuda" for the gpu preset and "cpu" for every other; raises Refused for gpu without a GPU."""
    if preset != "gpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise Refused(
            "PRESET is 'gpu', but this machine shows no CUDA GPU; 'laptop' and 'overnight' need none, and `falsework "
            "measure NOTEBOOK --preset gpu --device cpu --set ARM.train.steps=3` rehearses an arm."
        )
    return "cuda"


def description_of(recipe: Recipe, seed: int) -> dict[str, Any]:
    """Return all that a trained network depends on: recipe, seed, data, parents' keys, version. Its hash is the key."""
    return {
        "recipe": describe(recipe),
        "seed": seed,
        "data": recipe.data_digest(),
        "parents": {n: key_of(description_of(p, seed)) for n, p in recipe.parents().items()},
        "version": versions.RECIPES[recipe.name],
    }


def obtain(
    recipe: Recipe, seed: int, preset: str, store: Store, say: Callable[[str], None] = print, watch: Watch | None = None
) -> Trained:
    """Return the trained network of a recipe and seed; trains it, resuming any checkpoint, when the store lacks it."""
    description = description_of(recipe, seed)
    key = key_of(description)
    device = store.device or device_of(preset)

    def build(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        theirs: dict[str, Any] = {}
        before: dict[str, Any] = {}
        for name, parent in recipe.parents().items():
            trained = obtain(parent, seed, preset, store, say)
            theirs |= {f"{name}.{k}": v.cpu() for k, v in trained.model.state_dict().items()}
            before[name] = {k: trained.artefact.manifest[k] for k in ("flops", "core_seconds")}
        model = recipe.build(seed, theirs or None)
        model.load_state_dict(theirs, strict=False)
        model.to(device)
        try:
            cost = recipe.fit(model, seed, folder, watch)
        except torch.OutOfMemoryError as fault:
            batch = recipe.train.batch  # type: ignore[attr-defined]
            raise Refused(
                f"The memory of the GPU is too small for {recipe.name}, seed {seed}, at {preset}; lower its train.batch, "
                f"now {batch}, such as OVERRIDES = {{'ARM.train.batch': {max(1, batch // 2)}}}."
            ) from fault
        weights = {k: v.detach().cpu().numpy() for k, v in model.state_dict().items()}
        numbers = sum(p.numel() for p in model.parameters() if p.requires_grad)
        facts = {
            "device": device,
            "threads": cost.threads,
            "seconds": round(cost.seconds, 1),
            "core_seconds": round(cost.core_seconds, 1),
            "flops": cost.flops_per_step * recipe.train.steps,  # type: ignore[attr-defined]
            "parameters": numbers,
        }
        if theirs:
            facts["parents"] = before
        return weights, facts

    artefact = store.make(recipe.name, preset, key, description, build, say)
    weights = {k: torch.from_numpy(v) for k, v in artefact.weights().items()}
    model = recipe.build(seed, weights)
    model.load_state_dict(weights)
    return Trained(model.to(device).eval(), artefact, key)


COMPUTED = "skip."  # parts of a network that `build` computes from pictures, and that need not be shipped


def ship(trained: Trained, path: Path) -> None:
    """Write a trained network in half precision, with its key: to look at without training, never to measure with."""
    learned = {k: v for k, v in trained.model.state_dict().items() if COMPUTED not in k}
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in learned.items()}
    write_atomic(path, save({k: v.cpu().contiguous() for k, v in tensors.items()}, {"key": trained.key}))


def shipped(recipe: Recipe, seed: int, path: Path) -> nn.Module:
    """Return the network that `ship` wrote, in eval mode; raises Refused when it is missing, or of another recipe."""
    restore = "restore it with `git checkout -- exhibits`, or train your own"
    try:
        with safe_open(path, "pt") as f:
            key = (f.metadata() or {}).get("key")
        weights = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    except (OSError, SafetensorError) as fault:
        raise Refused(f"The shipped weights {path.name} cannot be read ({fault}); {restore}.") from fault
    if key != key_of(description_of(recipe, seed)):
        raise Refused(f"The shipped weights {path.name} are of an earlier recipe; {restore}.")
    theirs = {k: v for k, v in weights.items() if k.partition(".")[0] in recipe.parents()}
    model = recipe.build(seed, theirs or None)
    missing, unknown = model.load_state_dict(weights, strict=False)
    if unknown or any(COMPUTED not in name for name in missing):
        raise Refused(f"The shipped weights {path.name} are not all there; {restore}.")
    return model.eval()
