"""A tokenizer of pictures: the first stage of DALL-E (Ramesh et al. 2021, 2.1), here a VQ-VAE that begins as k-means."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from falsework.core.rng import seed_of
from falsework.nets.vq import VQ
from falsework.objectives.quantise import quantise
from falsework.recipes.pairs import PAGE, Pairs, as_tensor, paged
from falsework.tokens import fit_cells
from falsework.training import Batch, Fit, Train, fit

PATTERNS = 1024  # pictures whose cells the codes begin with


@dataclass(frozen=True)
class Tokenizer:
    """At most `codes` codes, one for each cell of `cell` x `cell` pixels; `width` channels of the decoder.

    With cells of one pixel the codes are a palette, and tokens are pixels.
    """

    pairs: Pairs = field(default_factory=lambda: Pairs("stage", ("ultra",)))
    cell: int = 4
    codes: int = 1024
    width: int = 64
    train: Train = field(default_factory=lambda: Train(900, 32, lr=4e-3, ema=0.98))
    name: ClassVar[str] = "tokenizer"

    def parents(self) -> dict[str, Any]:
        """Return {}: it stands on nothing."""
        return {}

    def data_digest(self) -> str:
        """Return the digest of its pictures."""
        return self.pairs.digest

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a VQ, its initial weights drawn from the seed; without weights its codes are k-means of cells."""
        if weights is None:
            patterns = self.pairs.draw_many(PATTERNS, self.train.batch, seed, "codes")[1]
            codes = torch.from_numpy(fit_cells(patterns, self.cell, self.codes, seed))
        else:
            codes = weights["codes"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            return VQ(self.pairs.side, self.cell, codes, self.width)

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on fresh pictures, a function of the step."""
        device, size = next(model.parameters()).device, self.train.batch

        def page(number: int) -> Batch:
            pictures = self.pairs.draw_many(size * PAGE, size, seed, "page", number)[1]
            return {"pictures": as_tensor(pictures).to(device)}

        name = f"{self.name}, seed {seed}, {folder.stem}"
        return fit(model, quantise, paged(page, size), self.train, seed, folder, name=name, watch=watch)


# core-seconds on one thread of a 2024 server core; rmse of 255 on lone objects, and what it was as k-means of cells
PRESETS = {
    "smoke": Tokenizer(codes=64, width=8, train=Train(20, 16, lr=4e-3)),  # 1 s
    "laptop": Tokenizer(),  # 43 s; 10.3, from 12.3
    "overnight": Tokenizer(),  # the laptop's
    "gpu": Tokenizer(codes=4096, width=128, train=Train(4000, 128, lr=4e-3, ema=0.99)),  # not measured
}
