"""A reader of noisy pictures: q(factor | x_s) at every noise level, for a lower bound on what a caption is worth there.

It is told nothing of sigma, for the noise of 768 numbers shows it; pictures are shrunk to one size whatever their noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from falsework.core.rng import rng, seed_of
from falsework.nets.convs import FactorReader
from falsework.noise import add_noise, shrunk, sigma_of, stratified
from falsework.objectives.factors import factor_loss
from falsework.recipes.listed import TOLD, Listed
from falsework.recipes.pairs import as_tensor
from falsework.training import Batch, Fit, Train, fit


@dataclass(frozen=True)
class NoisyReader:
    """A FactorReader of the factors that captions name, sigma even in [ln low, ln high]."""

    pairs: Listed = field(default_factory=Listed)
    width: int = 24
    hidden: int = 192
    low: float = 0.06
    high: float = 64.0
    train: Train = field(default_factory=Train)
    name: ClassVar[str] = "noisy_reader"

    def parents(self) -> dict[str, Any]:
        """Return {}: it stands on nothing."""
        return {}

    def data_digest(self) -> str:
        """Return the digest of its pictures."""
        return self.pairs.digest

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors it reads, in the order of the ladder."""
        return self.pairs.dataset.named[TOLD[-1]]

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a FactorReader, its initial weights drawn from the seed."""
        world = self.pairs.dataset
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            return FactorReader(
                self.pairs.side, {f: len(world.factors[f]) for f in self.factors}, self.width, self.hidden
            )

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on fresh pictures, texture and noise, a function of the step."""
        device, size = next(model.parameters()).device, self.train.batch

        def batches(step: int) -> Batch:
            index = self.pairs.numbers(size, seed, "batch", step)
            labels = np.stack([self.pairs.dataset.labels(index, f) for f in self.factors], 1)
            pictures = as_tensor(self.pairs.pictures(index, seed, "batch", step))
            generator = torch.Generator().manual_seed(int(rng(seed, "noise", step).integers(1 << 62)))
            log_snr = stratified(size, self.low, self.high, generator)
            noisy = add_noise(pictures, torch.randn(pictures.shape, generator=generator), log_snr)
            return {
                "pictures": shrunk(noisy, sigma_of(log_snr)).to(device),
                "labels": torch.from_numpy(labels).to(device),
            }

        name = f"{self.name}, seed {seed}, {folder.stem}"
        return fit(model, factor_loss, batches, self.train, seed, folder, name=name, watch=watch)


# core-seconds on one thread of a 2024 server core
PRESETS = {
    "smoke": NoisyReader(width=8, hidden=32, train=Train(20, 16, lr=3e-3)),
    "laptop": NoisyReader(train=Train(900, 64, lr=3e-3, ema=0.98)),
    "overnight": NoisyReader(train=Train(3000, 64, lr=3e-3, ema=0.99)),
    "gpu": NoisyReader(width=96, hidden=768, train=Train(6000, 512, lr=2e-3, ema=0.99)),  # not measured
}
