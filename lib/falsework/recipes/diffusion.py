"""A diffusion model of pictures given text (Ho et al. 2020; Karras et al. 2022; Peebles and Xie 2023).

One net for every amount of noise and every length of caption, none included: it draws, classifies, and measures bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from falsework.core.errors import Refused, one_of
from falsework.core.rng import seed_of
from falsework.nets.dit import SKIPS, Denoiser, DiT, empty_skip, skip_of
from falsework.objectives.denoise import WEIGHTINGS, denoise_loss
from falsework.recipes.listed import Listed
from falsework.recipes.pairs import as_tensor
from falsework.training import Fit, Train

LOOKED_AT = 8192  # pictures from which the skip is computed


@dataclass(frozen=True)
class Diffusion:
    """A DiT of `width` x `depth` over patches. silent: share of captions that are dropped; 1 is a model without text.

    skip: "grain" (the net paints), "wiener" (it corrects the best linear denoiser) or "scalar" (EDM's).
    weighting: "rest" or "likelihood". Noise: sigma from `low` to `high`, a `share` of each batch between
    `inner_low` and `inner_high`, where words help most.

    Raises Refused for an unknown skip or weighting, a share outside [0, 1], noise levels that do not rise, and captions
    that end after the run.
    """

    pairs: Listed = field(default_factory=Listed)
    patch: int = 4
    width: int = 64
    depth: int = 3
    heads: int = 4
    silent: float = 0.35
    skip: str = "grain"
    weighting: str = "rest"
    low: float = 0.06
    high: float = 64.0
    inner_low: float = 0.2
    inner_high: float = 8.0
    share: float = 0.7
    train: Train = field(default_factory=Train)
    name: ClassVar[str] = "diffusion"

    def __post_init__(self) -> None:
        one_of("The skip", self.skip, SKIPS)
        one_of("The weighting", self.weighting, WEIGHTINGS)
        for name in ("silent", "share"):
            if not 0 <= getattr(self, name) <= 1:
                raise Refused(f"The share {name} is {getattr(self, name)}, but must lie between 0 and 1.")
        if self.pairs.until > self.train.steps:
            raise Refused(f"The captions end at step {self.pairs.until}, but the run has {self.train.steps} steps.")
        ends = (self.low, self.inner_low, self.inner_high, self.high)
        if not (0 < ends[0] <= ends[1] < ends[2] <= ends[3]):
            raise Refused(f"The noise levels are {', '.join(map(str, ends))}, but must rise from above 0.")

    def parents(self) -> dict[str, Any]:
        """Return {}: it stands on nothing."""
        return {}

    def data_digest(self) -> str:
        """Return the digest of its pictures and captions."""
        return self.pairs.digest

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a Denoiser, its initial weights drawn from the seed; without weights its skip is computed from pictures."""
        words, side = self.pairs.vocabulary, self.pairs.side
        numbers = 3 * side**2
        if weights is None:
            index = self.pairs.numbers(LOOKED_AT, seed, "skip")
            flat_ND = as_tensor(self.pairs.pictures(index, seed, "skip")).flatten(1)
            skip = skip_of(self.skip, flat_ND)
        else:
            skip = empty_skip(self.skip, numbers)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            net = DiT(side, self.patch, self.width, self.depth, self.heads, len(words), words.length)
        return Denoiser(skip, net, (self.low, self.high))

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on fresh pictures, texture, captions and noise, a function of the step."""
        middle = (self.inner_low, self.inner_high)
        objective = denoise_loss(WEIGHTINGS[self.weighting], self.low, self.high, middle, self.share)
        return self.pairs.fit(model, objective, self.train, seed, folder, watch, silent=self.silent)


_SAID = Listed(loose=0.4)

# core-seconds on one thread of a 2024 server core, and the share of shapes named rightly (chance .25; seed 0)
PRESETS = {
    "smoke": Diffusion(_SAID, 8, 16, 1, 2, train=Train(20, 16, lr=0.01)),
    "laptop": Diffusion(_SAID, 4, 64, 3, 2, silent=0.3, train=Train(3600, 64, lr=0.01)),
    "overnight": Diffusion(_SAID, 4, 64, 3, 2, silent=0.3, train=Train(10000, 64, lr=0.01)),
    "gpu": Diffusion(_SAID, 2, 384, 6, 6, silent=0.3, train=Train(8000, 256, lr=3e-3)),  # not measured
}
