"""DALL-E (Ramesh et al. 2021, "Zero-Shot Text-to-Image Generation"): one stream of words and image tokens.

Three nets: a tokenizer, the stream, and a CLIP that picks the best of several drawings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.core.rng import rng, seed_of
from falsework.core.vocabulary import PAD, Vocabulary
from falsework.nets.dalle import DALLE as Net
from falsework.nets.dalle import JointTransformer
from falsework.objectives.joint_stream import joint_stream
from falsework.recipes import tokenizer
from falsework.recipes.clip import CLIP
from falsework.recipes.pairs import PAGE, Eye, Pairs, as_tensor, paged
from falsework.recipes.tokenizer import Tokenizer
from falsework.training import Batch, Fit, Train, fit

BLOCK = 128


@dataclass(frozen=True)
class DALLE:
    """A stream of `width` x `depth` over captions and the tokenizer's codes. silent: share of captions that are dropped.

    Raises Refused for such a share outside [0, 1].
    """

    pairs: Pairs = field(default_factory=lambda: Pairs("stage", ("ultra",)))
    tokenizer: Tokenizer = field(default_factory=Tokenizer)
    clip: CLIP = field(default_factory=CLIP)
    width: int = 96
    depth: int = 3
    heads: int = 4
    silent: float = 0.1
    train: Train = field(default_factory=Train)
    name: ClassVar[str] = "dalle"

    def __post_init__(self) -> None:
        if not 0 <= self.silent <= 1:
            raise Refused(f"The share of captions dropped is {self.silent}, but must lie between 0 and 1.")

    def parents(self) -> dict[str, Any]:
        """Return the tokenizer and the CLIP."""
        return {"tokenizer": self.tokenizer, "clip": self.clip}

    def data_digest(self) -> str:
        """Return the digest of its pictures and captions."""
        return self.pairs.digest

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a DALLE, the stream's initial weights drawn from the seed; `weights` holds the parents' at least."""
        own = {
            n: {k.removeprefix(f"{n}."): v for k, v in (weights or {}).items() if k.startswith(f"{n}.")}
            for n in self.parents()
        }
        codes, clip = (parent.build(seed, own[n] or None) for n, parent in self.parents().items())
        words = self.pairs.vocabulary
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            look = codes.codes.detach()
            stream = JointTransformer(len(words), words.length, look, codes.grid, self.width, self.depth, self.heads)
        return Net(stream, codes, clip)

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train the stream on fresh pictures and captions, a function of the step."""
        device, size = next(model.parameters()).device, self.train.batch

        def page(number: int) -> Batch:
            _, pictures, captions = self.pairs.draw_many(size * PAGE, size, seed, "page", number)
            ids = said(self.pairs.vocabulary, captions)
            dropped = torch.from_numpy(rng(seed, "silent", number).random((len(ids), 1)) < self.silent)
            ids = torch.where(dropped, PAD, ids)
            return {"ids": ids.to(device), "codes": codes_of(model, pictures)}

        name = f"{self.name}, seed {seed}, {folder.stem}"
        return fit(model, joint_stream, paged(page, size), self.train, seed, folder, name=name, watch=watch)


def said(words: Vocabulary, captions: list[str] | tuple[str, ...]) -> Tensor:
    """Return int64 (N, L): each caption's words, END, then pads up to the stream's text length; "" is all pads."""
    return torch.from_numpy(words.padded(captions))


@torch.no_grad()
def codes_of(model: Any, pictures: np.ndarray) -> Tensor:
    """Return int64 (N, T): the codes of pictures uint8 (N, S, S, 3), on the model's device."""
    device = model.tokenizer.codes.device
    blocks = (as_tensor(pictures[i : i + BLOCK]).to(device) for i in range(0, len(pictures), BLOCK))
    return torch.cat([model.tokenizer.encode(block) for block in blocks])


_STAGE = Pairs("stage", ("ultra",))
_WORDS = Pairs("stage alone", ("ultra",))  # for CLIP, which has no use for pictures without words
_CLIP = CLIP(_WORDS, Eye("conv", 32), train=Train(300, 96))  # 55 s

# core-seconds of the stream alone, on one thread of a 2024 server core
PRESETS = {
    "smoke": DALLE(
        _STAGE,
        tokenizer.PRESETS["smoke"],
        CLIP(_WORDS, Eye("conv", 8), "bag", shared=16, train=Train(10, 16)),
        *(16, 1, 2),
        train=Train(20, 8),
    ),
    "laptop": DALLE(_STAGE, tokenizer.PRESETS["laptop"], _CLIP, 128, 2, 8, train=Train(1600, 16, lr=0.02)),
    "overnight": DALLE(_STAGE, tokenizer.PRESETS["overnight"], _CLIP, 128, 2, 8, train=Train(3000, 16, lr=0.02)),
    "gpu": DALLE(  # not measured
        _STAGE,
        tokenizer.PRESETS["gpu"],
        CLIP(_WORDS, Eye("conv", 96), "words in order", 256, 4, 8, 256, train=Train(3000, 512, lr=2e-3)),
        *(512, 8, 8),
        train=Train(8000, 128, lr=3e-3),
    ),
}
