"""Supervised nets on the towers of CLIP: labels as in ImageNet's days, or the words of the caption as a bag."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from falsework.core.errors import Refused
from falsework.core.rng import seed_of
from falsework.nets.heads import Heads
from falsework.objectives.bag_of_words import HEAD, bag_of_words
from falsework.objectives.factors import factor_loss
from falsework.recipes.pairs import Eye, Pairs
from falsework.training import Fit, Train


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
            if factor not in self.pairs.dataset.factors:
                raise Refused(
                    f"The factor is {factor!r}, but {self.pairs.data} have {', '.join(self.pairs.dataset.factors)}."
                )

    def parents(self) -> dict[str, Any]:
        """Return {}: it stands on nothing."""
        return {}

    def data_digest(self) -> str:
        """Return the digest of its pictures and labels."""
        return self.pairs.digest

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a Heads net, its initial weights drawn from the seed."""
        sizes = {f: len(self.pairs.dataset.factors[f]) for f in self.factors} or {HEAD: len(self.pairs.vocabulary)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            return Heads(self.eye.build(self.pairs.side), sizes)

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on fresh batches, a function of the step: the pictures that CLIP sees with the same seed and batch."""
        objective = factor_loss if self.factors else bag_of_words
        return self.pairs.fit(model, objective, self.train, seed, folder, watch, self.factors)


_DRAWINGS = Pairs("drawings", (), without="noto")

# the supervised twin of `clip.PRESETS`: the same tower, drawings and FLOPs; the share named rightly among 32 (seed 0)
PRESETS = {
    "smoke": Labels(_DRAWINGS, Eye("conv", 8), ("concept",), Train(steps=20, batch=32)),  # 2 s
    "laptop": Labels(_DRAWINGS, Eye("conv", 32), ("concept",), Train(400, 128, lr=8e-3, ema=0.98)),  # 68 s, .5
    "overnight": Labels(_DRAWINGS, Eye("conv", 32), ("concept",), Train(600, 128, lr=8e-3, ema=0.98)),
    "gpu": Labels(_DRAWINGS, Eye("conv", 96), ("concept",), Train(4000, 512, lr=4e-3, ema=0.99)),  # not measured
}

# judges of drawings: they learned every drawing, held-out ones too, and are asked about drawn ones. The set is seen in
# fine signs, so its judge learned cleaner pictures.


def _judges(eye: int, train: Train) -> dict[str, Labels]:
    data = {"concept": "smudged", "style": "every drawing"}
    return {f: Labels(Pairs(name, ()), Eye("conv", eye), (f,), train) for f, name in data.items()}


JUDGES = {
    "smoke": _judges(8, Train(10, 32)),
    "laptop": _judges(32, Train(700, 128, lr=8e-3, ema=0.98)),  # 120 s each
    "overnight": _judges(32, Train(700, 128, lr=8e-3, ema=0.98)),
    "gpu": _judges(96, Train(4000, 512, lr=4e-3, ema=0.99)),  # not measured
}
