"""Better captions for a badly captioned collection (Betker et al. 2023, DALL-E 3): a captioner rewrites them all.

The captioner learns from right, long captions. Then it looks at every picture of the collection once and writes down what
it sees; `recaptioned` draws from what it wrote.

Dimension key: N pictures, B batch, S side in pixels, T caption length in tokens, M cells, C width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from falsework.core.dataset import Index
from falsework.core.vocabulary import BEGIN, Vocabulary
from falsework.nets.trunk import KVCache
from falsework.recipes.captioner import Captioner
from falsework.recipes.pairs import Eye, as_tensor
from falsework.recipes.worded import Worded
from falsework.samplers import sample_tokens
from falsework.training import Fit, Train

BLOCK = 512


def telling(model: Any, context_BMC: Tensor) -> Callable[[Tensor, KVCache | None], tuple[Tensor, KVCache]]:
    """Return the sampler's step of a captioner that has looked at pictures: words that are new -> logits of the next."""

    def step(new_BT: Tensor, cache: KVCache | None) -> tuple[Tensor, KVCache]:
        if cache is None:
            cache = model.trunk.new_cache(len(context_BMC), len(model.place))
            new_BT = torch.cat([new_BT.new_full((len(context_BMC), 1), BEGIN), new_BT], 1)
        x_BTC = model.word(new_BT) + model.place[cache.length : cache.length + new_BT.shape[1]]
        return model.head(model.trunk(x_BTC, causal=True, cache=cache, context=context_BMC)[:, -1]), cache

    return step


@torch.inference_mode()
def write(model: Any, words: Vocabulary, pictures: np.ndarray) -> np.ndarray:
    """Return what a captioner says of pictures (N, S, S, 3) as ids int64 (N, T), the likeliest word each time.

    T is one less than the longest caption: what never ends is cut.
    """
    device, parts = next(model.parameters()).device, []
    for i in range(0, len(pictures), BLOCK):
        block = as_tensor(pictures[i : i + BLOCK]).to(device)
        start = torch.empty(len(block), 0, dtype=torch.long, device=device)
        sure = torch.Generator(device)  # with the likeliest word alone there is no chance in it
        ids = sample_tokens(telling(model, model.look(block)), start, words.length - 1, sure, top_k=1)
        parts.append(ids.cpu().numpy())
    return np.concatenate(parts)


@dataclass(frozen=True)
class Recaptioner(Captioner):
    """A captioner, and what it wrote about every scene: its network holds `written`, ids int64 (N, T).

    pairs: what it learns from. Its FLOPs are those of learning and of writing.
    """

    pairs: Worded = field(default_factory=Worded)
    name: ClassVar[str] = "recaptioner"

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a Captioner that has written nothing, its initial weights drawn from the seed."""
        model = super().build(seed, weights)
        shape = len(self.pairs.dataset), self.pairs.vocabulary.length - 1
        model.register_buffer("written", torch.zeros(shape, dtype=torch.long))
        return model

    def fit(self, model: Any, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on fresh pictures with right captions, then write."""
        found = super().fit(model, seed, folder, watch)
        every = np.arange(len(self.pairs.dataset))
        model.eval()
        for start in range(0, len(every), BLOCK):
            rows = every[start : start + BLOCK]
            ids = write(model, self.pairs.vocabulary, self.looks(rows, seed))
            model.written[start : start + BLOCK] = torch.from_numpy(ids)
        few = every[:8]
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            write(model, self.pairs.vocabulary, self.looks(few, seed))
        writing = counter.get_total_flops() * len(every) // len(few)
        return replace(found, flops_per_step=found.flops_per_step + writing // self.train.steps)

    def looks(self, index: Index, seed: int) -> np.ndarray:
        """Return the look at a block of scenes that is written about, float32 (N, S, S, 3), by seed and first scene."""
        return self.pairs.pictures(index, seed, "collection", int(index[0]) if len(index) else 0)

    def captions(self, model: Any) -> tuple[str, ...]:
        """Return what was written about every scene."""
        return tuple(self.pairs.vocabulary.decode(model.written.cpu().numpy()))


# core-seconds on one thread of a 2024 server core, writing included
PRESETS = {
    "smoke": Recaptioner(Worded(), Eye("conv", 8), 16, 1, 2, train=Train(20, 16)),
    "laptop": Recaptioner(Worded(), Eye("conv", 24), train=Train(400, 64)),
    "overnight": Recaptioner(Worded(), Eye("conv", 24), train=Train(400, 64)),
    "gpu": Recaptioner(Worded(), Eye("conv", 96), 256, 6, 8, train=Train(1000, 256, lr=2e-3)),  # not measured
}
