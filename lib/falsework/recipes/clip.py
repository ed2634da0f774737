"""CLIP (Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision").

Expected at laptop: see PRESETS; on scenes, `experiments.clip` sets it beside those it is compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from falsework.core.errors import one_of
from falsework.core.rng import seed_of
from falsework.nets.clip import CLIP as Net
from falsework.nets.towers import BagTower, TextTower
from falsework.objectives.contrast import contrast
from falsework.recipes.listed import Listed
from falsework.recipes.pairs import Eye, Pairs
from falsework.training import Fit, Train


@dataclass(frozen=True)
class CLIP:
    """An image tower and a caption tower that meet in `shared` dimensions.

    text: "words in order" (a transformer of `text_width` x `text_depth`, CLIP's own) or "bag" (the mean of the words).
    scale: one over the temperature at the start; the paper's is 1 / .07.
    """

    pairs: Pairs | Listed = field(default_factory=Pairs)
    eye: Eye = field(default_factory=Eye)
    text: str = "words in order"
    text_width: int = 48
    text_depth: int = 2
    text_heads: int = 3
    shared: int = 64
    scale: float = 1 / 0.07
    train: Train = field(default_factory=Train)
    name: ClassVar[str] = "clip"

    def __post_init__(self) -> None:
        one_of("The caption tower", self.text, ("words in order", "bag"))

    def parents(self) -> dict[str, Any]:
        """Return {}: it stands on nothing."""
        return {}

    def data_digest(self) -> str:
        """Return the digest of its pictures and captions."""
        return self.pairs.digest

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a CLIP, its initial weights drawn from the seed."""
        words = self.pairs.vocabulary
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            eye = self.eye.build(self.pairs.side)  # first: arms with the same eye begin with the same eye
            if self.text == "bag":
                text: nn.Module = BagTower(len(words), self.shared)
            else:
                text = TextTower(len(words), words.length, self.text_width, self.text_depth, self.text_heads)
            return Net(eye, text, self.shared, math.log(self.scale))

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on fresh batches, a function of the step; in a batch of drawings no concept comes twice."""
        return self.pairs.fit(model, contrast, self.train, seed, folder, watch)


_DRAWINGS = Pairs("drawings", (), without="noto")

# zero-shot on real drawings; core-seconds on one thread of a 2024 server core, and the share of unseen drawings of seen
# concepts named rightly among 32 (seed 0)
PRESETS = {
    "smoke": CLIP(_DRAWINGS, Eye("conv", 8), "bag", shared=32, scale=10.0, train=Train(steps=20, batch=32)),  # 2 s
    "laptop": CLIP(  # 70 s, .57
        _DRAWINGS, Eye("conv", 32), "bag", shared=192, scale=10.0, train=Train(400, 128, lr=8e-3, ema=0.98)
    ),
    "overnight": CLIP(
        _DRAWINGS, Eye("conv", 32), "bag", shared=192, scale=10.0, train=Train(600, 128, lr=8e-3, ema=0.98)
    ),
    "gpu": CLIP(  # not measured
        _DRAWINGS, Eye("conv", 96), "bag", shared=256, scale=10.0, train=Train(4000, 512, lr=4e-3, ema=0.99)
    ),
}
