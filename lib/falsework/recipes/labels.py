"""Supervised nets on the towers of CLIP: labels as in ImageNet's days, or the words of the caption as a bag."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from falsework.core.errors import Refused
from falsework.core.rng import seed_of
from falsework.data.emoji import load_emoji
from falsework.nets.heads import Heads
from falsework.objectives.bag_of_words import HEAD, bag_of_words
from falsework.objectives.factors import factor_loss
from falsework.recipes.pairs import Eye, Pairs, as_tensor, scenes_of
from falsework.training import Batch, Fit, Train, fit


@dataclass(frozen=True)
class Labels:
    """An image tower under linear heads: one for each of `factors`, or, with none, one yes or no for every word.

    Raises Refused for a factor that the data does not have.
    """

    pairs: Pairs = field(default_factory=Pairs)
    eye: Eye = field(default_factory=Eye)
    factors: tuple[str, ...] = ()
    train: Train = field(default_factory=Train)
    name: ClassVar[str] = "labels"

    def __post_init__(self) -> None:
        for factor in self.factors:
            if factor not in self._dataset.factors:
                raise Refused(
                    f"The factor is {factor!r}, but {self.pairs.data} have {', '.join(self._dataset.factors)}."
                )

    @property
    def _dataset(self) -> Any:
        return load_emoji() if self.pairs.data == "drawings" else scenes_of(self.pairs.data)

    def parents(self) -> dict[str, Any]:
        """Return {}: it stands on nothing."""
        return {}

    def data_digest(self) -> str:
        """Return the digest of its pictures and labels."""
        return self.pairs.digest

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a Heads net, its initial weights drawn from the seed."""
        sizes = {f: len(self._dataset.factors[f]) for f in self.factors} or {HEAD: len(self.pairs.vocabulary)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            return Heads(self.eye.build(self.pairs.side), sizes)

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on fresh batches, a function of the step: the pictures that CLIP sees with the same seed and batch."""
        device = next(model.parameters()).device

        def labelled(step: int) -> Batch:
            index, pictures, _ = self.pairs.draw(self.train.batch, seed, "batch", step)
            labels = torch.stack([torch.from_numpy(self._dataset.labels(index, f)) for f in self.factors], 1)
            return {"pictures": as_tensor(pictures).to(device), "labels": labels.to(device)}

        def worded(step: int) -> Batch:
            return self.pairs.batch(self.train.batch, seed, "batch", step, device=device)

        objective, batches = (factor_loss, labelled) if self.factors else (bag_of_words, worded)
        name = f"{self.name}, seed {seed}, {folder.stem}"
        return fit(model, objective, batches, self.train, seed, folder, name=name, watch=watch)


_DRAWINGS = Pairs("drawings", (), without="noto")

# the supervised twin of `clip.PRESETS`: the same tower, drawings and FLOPs; the share named rightly among 32 (seed 0)
PRESETS = {
    "smoke": Labels(_DRAWINGS, Eye("conv", 8), ("concept",), Train(steps=20, batch=32)),  # 2 s
    "laptop": Labels(_DRAWINGS, Eye("conv", 32), ("concept",), Train(400, 128, lr=8e-3, ema=0.98)),  # 68 s, .5
    "overnight": Labels(_DRAWINGS, Eye("conv", 32), ("concept",), Train(600, 128, lr=8e-3, ema=0.98)),  # not measured
    "gpu": Labels(_DRAWINGS, Eye("conv", 96), ("concept",), Train(4000, 512, lr=4e-3, ema=0.99)),  # not measured
}
