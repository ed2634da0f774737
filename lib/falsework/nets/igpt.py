"""iGPT (Chen et al. 2020): a picture as a row of palette colours, each predicted from those before it.

Stem: colour embedding shifted by one pixel, plus a learned row and column of the pixel to come. Head: logits over
the palette. Dimension key: B batch, T = side * side pixels in raster order, C width, K palette colours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from falsework.nets.trunk import KVCache, Trunk


class PixelTransformer(nn.Module):
    """p(pixels) = prod_t p(pixel_t | pixels before t). `palette` (K, 3) uint8 travels with the weights."""

    def __init__(self, side: int, palette_K3: Tensor, width: int, depth: int, heads: int) -> None:
        super().__init__()
        K = len(palette_K3)
        self.side = side
        self.register_buffer("palette", palette_K3)
        self.colour = nn.Embedding(K, width)
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.row = nn.Parameter(torch.randn(side, 1, width) * 0.02)
        self.column = nn.Parameter(torch.randn(1, side, width) * 0.02)
        self.trunk = Trunk(width, depth, heads)
        self.head = nn.Linear(width, K)
        nn.init.normal_(self.colour.weight, std=0.02)
        nn.init.zeros_(self.head.weight)  # the first guess is nearly uniform: log2 K bits a pixel

    def stem(self, ids_BT: Tensor) -> Tensor:
        """Return (B, T + 1, C): position t holds pixel t - 1 and the place of pixel t; the last place wraps unused."""
        B, T = ids_BT.shape
        place_TC = (self.row + self.column).flatten(0, 1)
        place_TC = torch.cat([place_TC, place_TC[:1]])[: T + 1]
        return torch.cat([self.start.expand(B, 1, -1), self.colour(ids_BT)], 1) + place_TC

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Return logits (B, T, K): row t is the model's guess of pixel t from the pixels before it."""
        return self.head(self.trunk(self.stem(ids_BT[:, :-1]), causal=True))

    def layers(self, ids_BT: Tensor) -> list[Tensor]:
        """Return depth + 1 residual streams, (B, T, C) each, for probes. Position t has seen pixels 0 .. t - 1."""
        return self.trunk(self.stem(ids_BT[:, :-1]), causal=True, return_layers=True)

    def step(self, new_BT: Tensor, cache: KVCache | None) -> tuple[Tensor, KVCache]:
        """Take the pixels that are new and return (logits (B, K) of the next one, cache): the sampler's contract."""
        if cache is None:
            cache = self.trunk.new_cache(len(new_BT), self.side * self.side)
            x_BTC = self.stem(new_BT)
        else:
            at = torch.arange(cache.length, cache.length + new_BT.shape[1], device=new_BT.device)
            x_BTC = self.colour(new_BT) + self.row[at // self.side, 0] + self.column[0, at % self.side]
        return self.head(self.trunk(x_BTC, causal=True, cache=cache)[:, -1]), cache
