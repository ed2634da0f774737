"""iGPT (Chen et al. 2020, "Generative Pretraining from Pixels"): compress every pixel, ask no caption.

512 colours by k-means in the paper, raster order, next-pixel prediction. It trains on real drawings, which are few, or on
cluttered scenes, which never end. Expected at laptop (seed 0): see PRESETS and SIZES.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from falsework.core.errors import one_of
from falsework.core.rng import rng, seed_of
from falsework.data.emoji import load_emoji
from falsework.nets.igpt import PixelTransformer
from falsework.objectives.next_token import next_token
from falsework.tokens import encode_pixels, fit_palette
from falsework.training import Fit, Train, fit
from falsework.world.scenes import SceneWorld


@dataclass(frozen=True)
class IGPT:
    """A pixel transformer on training pictures, `side` x `side` pixels in `colours` palette colours.

    data: "drawings" (the emoji on white, 8 to 32 px) or "scenes" (one object among crumbs, 16 or 32 px).
    """

    data: str = "drawings"
    side: int = 16
    colours: int = 128
    width: int = 64
    depth: int = 4
    heads: int = 4
    train: Train = field(default_factory=Train)
    name: ClassVar[str] = "igpt"

    def __post_init__(self) -> None:
        one_of("The data of iGPT", self.data, ("drawings", "scenes"))

    @property
    def world(self) -> SceneWorld:
        """The scenes it trains on when `data` is "scenes"."""
        return cluttered(self.side)

    def parents(self) -> dict[str, Any]:
        """Return {}: iGPT stands on nothing."""
        return {}

    def data_digest(self) -> str:
        """Return the digest of the drawings, or of the scene world."""
        return load_emoji().digest if self.data == "drawings" else self.world.digest

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a PixelTransformer; without weights the palette is fitted and the initial weights drawn from the seed."""
        palette = torch.from_numpy(self._palette()) if weights is None else weights["palette"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            return PixelTransformer(self.side, palette, self.width, self.depth, self.heads)

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on random drawings of the training split, or on fresh scenes; batches are a function of the step."""
        device, palette = next(model.parameters()).device, model.palette.cpu().numpy()  # type: ignore[operator, union-attr]
        drawings = self.ids(model, load_emoji().split("train")) if self.data == "drawings" else np.empty((0, 0))

        def batches(step: int) -> dict[str, torch.Tensor]:
            if self.data == "drawings":
                rows = rng(seed, "batch", step).integers(len(drawings), size=self.train.batch)
                ids_BT = drawings[rows]
            else:
                ids_BT = encode_pixels(self.world.draw(self.train.batch, "train", seed, "batch", step)[1], palette)
            return {"ids": torch.from_numpy(ids_BT.astype(np.int64)).to(device)}

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
        """Return palette ids, uint16 (N, side * side), of the pictures with these numbers."""
        return encode_pixels(self.images(index), model.palette.cpu().numpy())

    def images(self, index: np.ndarray) -> np.ndarray:
        """Return uint8 (N, side, side, 3): drawings on white, or scenes, before the palette."""
        return load_emoji().images(index, size=self.side) if self.data == "drawings" else self.world.images(index)

    def _palette(self) -> np.ndarray:
        if self.data == "drawings":
            pictures = self.images(load_emoji().split("train"))
        else:
            pictures = self.world.draw(2000, "train", "palette")[1]
        return fit_palette(pictures, self.colours, seed=0)


@cache
def cluttered(side: int) -> SceneWorld:
    """Return the cluttered scene world at one size, made once per process."""
    return SceneWorld("cluttered", side)


# core-seconds of training on one thread of a 2024 server core, and the bits per unseen picture to expect
PRESETS = {
    "smoke": IGPT(side=8, colours=32, width=32, depth=2, heads=2, train=Train(steps=60, batch=32)),  # 4 s
    "laptop": IGPT(train=Train(steps=1000, batch=16)),  # 190 s
    "overnight": IGPT(width=128, train=Train(steps=5000, batch=16)),  # 2,120 s
    "gpu": IGPT(colours=512, width=512, depth=12, heads=8, train=Train(steps=6000, batch=128, lr=2e-3)),  # not measured
}


def _scenes(width: int, depth: int, heads: int, steps: int, batch: int = 16, **more: Any) -> IGPT:
    return IGPT("scenes", width=width, depth=depth, heads=heads, train=Train(steps=steps, batch=batch, **more))


# the size ladder of C10, on scenes: equal pictures for every size, each annealed on its own; the largest is "large"
SIZES = {
    "smoke": {"small": _scenes(16, 1, 2, 24, 8), "medium": _scenes(24, 1, 2, 24, 8), "large": _scenes(32, 1, 2, 24, 8)},
    "laptop": {"small": _scenes(32, 2, 2, 450), "medium": _scenes(48, 3, 3, 450), "large": _scenes(80, 4, 5, 450)},
    "overnight": {
        "tiny": _scenes(24, 2, 2, 2000),
        "small": _scenes(32, 2, 2, 2000),
        "medium": _scenes(48, 3, 3, 2000),
        "big": _scenes(80, 4, 5, 2000),
        "large": _scenes(128, 5, 4, 2000),
    },
    "gpu": {
        "small": _scenes(128, 4, 4, 4000, 128),
        "medium": _scenes(256, 8, 8, 4000, 128, lr=3e-3),
        "large": _scenes(512, 12, 8, 4000, 128, lr=2e-3),
    },
}
