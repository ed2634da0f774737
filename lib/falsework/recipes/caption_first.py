"""A model of pictures without captions, by way of captions: p(x) = sum_c p(c) p(x | c), with p(c) learned as well.

What it pays for a picture is what it pays for the caption and then for the picture: -log p(c) - log p(x | c), which is
never less than -log p(x).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.core.rng import seed_of
from falsework.nets.symbols import SymbolTransformer
from falsework.objectives.symbols import symbol_loss
from falsework.recipes.diffusion import Diffusion
from falsework.recipes.worded import Worded
from falsework.training import Batch, Fit, Train, fit
from falsework.world.codes import count_of, small_world


class CaptionThenPicture(nn.Module):
    """p(c), and p(x | c), which is frozen here."""

    def __init__(self, prior: SymbolTransformer, picture: nn.Module) -> None:
        super().__init__()
        self.prior, self.picture = prior, picture.requires_grad_(False)


@dataclass(frozen=True)
class CaptionFirst:
    """picture: p(x | c), always told the longest caption, a parent; the other fields are of p(c).

    Raises Refused for a picture model without a language of its own, or one that is told something else as well.
    """

    picture: Diffusion = field(default_factory=lambda: Diffusion(Worded(), silent=0.0))
    width: int = 32
    depth: int = 1
    heads: int = 2
    train: Train = field(default_factory=Train)
    name: ClassVar[str] = "caption_first"

    def __post_init__(self) -> None:
        if not isinstance(self.picture.pairs, Worded) or len(self.picture.pairs.levels) > 1 or self.picture.pairs.until:
            raise Refused("The picture model is told captions of several kinds, but p(c) needs one level that stays.")

    @property
    def pairs(self) -> Worded:
        """What is told."""
        assert isinstance(self.picture.pairs, Worded)
        return self.picture.pairs

    def parents(self) -> dict[str, Any]:
        """Return the model of pictures."""
        return {"picture": self.picture}

    def data_digest(self) -> str:
        """Return the digest of its pictures and captions."""
        return self.pairs.digest

    def symbols(self, index: np.ndarray) -> Tensor:
        """Return int64 (N, K): what the caption says of these scenes."""
        told = count_of(self.pairs.levels[0])
        return torch.from_numpy(self.pairs.symbols[index, :told])

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a CaptionThenPicture, p(c)'s initial weights drawn from the seed; `weights` holds the parent's at least."""
        own = {k.removeprefix("picture."): v for k, v in (weights or {}).items() if k.startswith("picture.")}
        rows = small_world() if self.pairs.small else np.arange(len(self.pairs.dataset))
        values = (self.symbols(rows).amax(0) + 1).tolist()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            prior = SymbolTransformer(values, self.width, self.depth, self.heads)
        return CaptionThenPicture(prior, self.picture.build(seed, own or None))

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train p(c) on the captions of fresh scenes, a function of the step."""
        device = next(model.parameters()).device

        def batches(step: int) -> Batch:
            return {"symbols": self.symbols(self.pairs.numbers(self.train.batch, seed, "batch", step)).to(device)}

        name = f"{self.name}, seed {seed}, {folder.stem}"
        return fit(model, symbol_loss, batches, self.train, seed, folder, name=name, watch=watch)


_SAYS = Train(300, 128, lr=3e-3)
# what p(c) of 13 bits of words costs more than their entropy, bits; core-seconds on one thread of a 2024 server core
PRESETS = {
    "smoke": CaptionFirst(
        Diffusion(Worded(), 8, 16, 1, 2, silent=0.0, train=Train(20, 16, lr=0.01)), 16, train=Train(20, 16)
    ),
    "laptop": CaptionFirst(train=_SAYS),
    "overnight": CaptionFirst(train=_SAYS),
    "gpu": CaptionFirst(train=_SAYS),
}
