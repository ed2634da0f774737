"""iGPT on drawings (Chen et al. 2020, "Generative Pretraining from Pixels"): compress every pixel, ask no caption.

512 colours by k-means in the paper, raster order, next-pixel prediction. Expected at laptop (seed 0): see PRESETS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from falsework.core.rng import rng, seed_of
from falsework.data.emoji import load_emoji
from falsework.nets.igpt import PixelTransformer
from falsework.objectives.next_token import next_token
from falsework.tokens import encode_pixels, fit_palette
from falsework.training import Fit, Train, fit


@dataclass(frozen=True)
class IGPT:
    """A pixel transformer on the training drawings, on white, `side` x `side` pixels in `colours` palette colours."""

    side: int = 16
    colours: int = 128
    width: int = 64
    depth: int = 4
    heads: int = 4
    train: Train = field(default_factory=Train)
    name: ClassVar[str] = "igpt"

    def parents(self) -> dict[str, Any]:
        """Return {}: iGPT stands on nothing."""
        return {}

    def data_digest(self) -> str:
        """Return the digest of the drawings."""
        return load_emoji().digest

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a PixelTransformer; without weights the palette is fitted and the initial weights drawn from the seed."""
        palette = torch.from_numpy(self._palette()) if weights is None else weights["palette"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            return PixelTransformer(self.side, palette, self.width, self.depth, self.heads)

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on random drawings of the training split; batches are a function of the step."""
        device = next(model.parameters()).device
        ids_NT = torch.from_numpy(self.ids(model, load_emoji().split("train")).astype(np.int64)).to(device)

        def batches(step: int) -> dict[str, torch.Tensor]:
            rows = rng(seed, "batch", step).integers(len(ids_NT), size=self.train.batch)
            return {"ids": ids_NT[torch.from_numpy(rows).to(device)]}

        return fit(
            model,
            next_token,
            batches,
            self.train,
            seed,
            folder,
            name=f"{self.name}, seed {seed}, {folder.stem}",
            watch=watch,
        )

    def ids(self, model: Any, index: np.ndarray) -> np.ndarray:
        """Return palette ids, uint16 (N, side * side), of drawings on white."""
        return encode_pixels(self.images(index), model.palette.cpu().numpy())

    def images(self, index: np.ndarray) -> np.ndarray:
        """Return uint8 (N, side, side, 3) drawings on white, before the palette."""
        return load_emoji().images(index, size=self.side)

    def _palette(self) -> np.ndarray:
        return fit_palette(self.images(load_emoji().split("train")), self.colours, seed=0)


# core-seconds on one thread of a 2024 server core, and the bits per unseen drawing to expect at the end
PRESETS = {
    "smoke": IGPT(side=8, colours=32, width=32, depth=2, heads=2, train=Train(steps=60, batch=32)),  # 4 s
    "laptop": IGPT(train=Train(steps=1300, batch=16)),  # 300 s, 385 bits
    "overnight": IGPT(width=128, train=Train(steps=5000, batch=16)),  # not measured
    "gpu": IGPT(colours=512, width=512, depth=12, heads=8, train=Train(steps=6000, batch=128, lr=2e-3)),  # not measured
}
