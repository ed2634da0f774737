"""Cap and CapPa (Tschannen et al. 2023, "Image Captioners Are Scalable Vision Learners Too")."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from falsework.core.errors import Refused
from falsework.core.rng import seed_of
from falsework.nets.captioner import Captioner as Net
from falsework.objectives.caption import caption_loss
from falsework.recipes.listed import Listed
from falsework.recipes.pairs import Eye, Pairs
from falsework.training import Fit, Train


@dataclass(frozen=True)
class Captioner:
    """An image tower and a decoder that looks at its cells.

    parallel: share of the examples whose words are all predicted at once, in training only: 0 is Cap, .75 CapPa.
    Raises Refused for a share outside [0, 1].
    """

    pairs: Pairs | Listed = field(default_factory=Pairs)
    eye: Eye = field(default_factory=Eye)
    width: int = 48
    depth: int = 2
    heads: int = 3
    parallel: float = 0.0
    train: Train = field(default_factory=Train)
    name: ClassVar[str] = "captioner"

    def __post_init__(self) -> None:
        if not 0 <= self.parallel <= 1:
            raise Refused(f"The share of parallel prediction is {self.parallel}, but must lie between 0 and 1.")

    def parents(self) -> dict[str, Any]:
        """Return {}: it stands on nothing."""
        return {}

    def data_digest(self) -> str:
        """Return the digest of its pictures and captions."""
        return self.pairs.digest

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a Captioner, its initial weights drawn from the seed."""
        words = self.pairs.vocabulary
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            eye = self.eye.build(self.pairs.side)  # first: arms with the same eye begin with the same eye
            return Net(eye, len(words), words.length, self.width, self.depth, self.heads)

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on fresh batches, a function of the step."""
        return self.pairs.fit(model, caption_loss(self.parallel), self.train, seed, folder, watch)


# two things and who has which look; core-seconds on one thread of a 2024 server core, and swaps of colour told apart
_TWINS = Pairs("twins", ("descriptive",))
PRESETS = {
    "smoke": Captioner(_TWINS, Eye("conv", 8), 16, 1, 2, train=Train(steps=20, batch=16)),  # 2 s, a coin
    "laptop": Captioner(_TWINS, Eye("conv", 32), train=Train(500, 96)),  # 95 s, .998
    "overnight": Captioner(_TWINS, Eye("conv", 32), train=Train(500, 96)),  # the laptop's, with every control
    "gpu": Captioner(_TWINS, Eye("conv", 96), 256, 6, 8, train=Train(4000, 512, lr=2e-3)),  # not measured
}
