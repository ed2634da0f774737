"""The one transformer of the course: pre-norm blocks of attention and MLP (Vaswani et al. 2017; Radford et al. 2019).

Stems turn something into a sequence of vectors, the trunk mixes them, heads read them.

Dimension key: B batch, T sequence, C width, H heads, D = C / H head width, S cached length, M context length.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.errors import Refused


class KVCache:
    """Keys and values of every layer for positions already seen, in buffers allocated once.

    `length` is the number of positions filled. A step of one token writes one column and reads a view: nothing is
    copied or grown, which is what makes sampling fast.
    """

    def __init__(self, layers: int, batch: int, heads: int, size: int, width: int, like: Tensor) -> None:
        self.keys = like.new_zeros(layers, batch, heads, size, width)
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    def extend(self, layer: int, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new positions of one layer and return all its keys and values so far, (B, H, S, D) each."""
        end = self.length + k_BHTD.shape[2]
        if end > self.keys.shape[3]:
            raise Refused(f"The cache was asked for position {end}, but holds {self.keys.shape[3]}.")
        self.keys[layer, :, :, self.length : end] = k_BHTD
        self.values[layer, :, :, self.length : end] = v_BHTD
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


class Attention(nn.Module):
    """Multi-head self-attention, causal or not, with an optional cache."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x_BTC: Tensor, causal: bool, cache: KVCache | None, layer: int) -> Tensor:
        B, T, C = x_BTC.shape
        # cut, then shaped: the gradient of one permuted block would be stacked and copied
        q, k, v = (part.view(B, T, self.heads, -1).transpose(1, 2) for part in self.qkv(x_BTC).chunk(3, -1))
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        # With a filled cache a single query may look at everything; more than one needs the causal square at its end.
        mask = None
        if causal and cache is not None and cache.length and T > 1:
            mask = torch.ones(T, k.shape[2], dtype=torch.bool, device=x_BTC.device).tril(cache.length)
        square = causal and mask is None and T > 1
        y_BHTD = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=square)
        return self.out(y_BHTD.transpose(1, 2).reshape(B, T, C))


class CrossAttention(nn.Module):
    """Multi-head attention from a sequence to a context of the same width, which need not be of its length."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x_BTC: Tensor, context_BMC: Tensor) -> Tensor:
        B, T, C = x_BTC.shape
        q = self.q(x_BTC).view(B, T, self.heads, -1).transpose(1, 2)
        parts = self.kv(context_BMC).chunk(2, -1)
        k, v = (part.view(B, context_BMC.shape[1], self.heads, -1).transpose(1, 2) for part in parts)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    """x + attention(norm x), with a context x + cross_attention(norm x, context), then x + mlp(norm x).

    With a condition (adaLN: Peebles and Xie 2023) one vector stretches and shifts what attention and MLP read, and
    weighs what they write. It starts at nothing: then the block is the plain one.
    """

    def __init__(self, width: int, heads: int, context: bool, condition: bool) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        if context:
            self.norm_cross = nn.LayerNorm(width)
            self.cross = CrossAttention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        if condition:
            self.modulate = nn.Linear(width, 6 * width)

    def forward(
        self,
        x_BTC: Tensor,
        causal: bool,
        cache: KVCache | None,
        layer: int,
        context_BMC: Tensor | None = None,
        condition_BC: Tensor | None = None,
    ) -> Tensor:
        if condition_BC is None:
            x_BTC = x_BTC + self.attention(self.norm_attention(x_BTC), causal, cache, layer)
            if context_BMC is not None:
                x_BTC = x_BTC + self.cross(self.norm_cross(x_BTC), context_BMC)
            return x_BTC + self.mlp(self.norm_mlp(x_BTC))
        # stretch, shift and weight of attention, then of the MLP
        a, b, c, d, e, f = self.modulate(condition_BC)[:, None].chunk(6, -1)
        read_BTC = torch.addcmul(b, self.norm_attention(x_BTC), 1 + a)
        x_BTC = torch.addcmul(x_BTC, 1 + c, self.attention(read_BTC, causal, cache, layer))
        if context_BMC is not None:
            x_BTC = x_BTC + self.cross(self.norm_cross(x_BTC), context_BMC)
        read_BTC = torch.addcmul(e, self.norm_mlp(x_BTC), 1 + d)
        return torch.addcmul(x_BTC, 1 + f, self.mlp(read_BTC))


class Trunk(nn.Module):
    """`depth` blocks and a final norm. Capabilities are arguments of `forward`, not kinds of trunk.

    context: whether the blocks have weights to look at a context; condition: whether a vector can steer them. Raises
    Refused when `width` is not a multiple of `heads`.
    """

    def __init__(self, width: int, depth: int, heads: int, context: bool = False, condition: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise Refused(f"The width is {width} with {heads} heads, but must be a multiple of the heads.")
        self.heads = heads
        self.blocks = nn.ModuleList(Block(width, heads, context, condition) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=1 / math.sqrt(p.shape[1]))
            # The matrices that write into the residual stream start small, so that depth does not add up noise.
            if name.endswith(("attention.out.weight", "cross.out.weight", "mlp.2.weight")):
                p.data.div_(math.sqrt(2 * depth))
            if ".modulate." in name:
                nn.init.zeros_(p)

    def new_cache(self, batch: int, size: int) -> KVCache:
        """Return an empty cache for `batch` sequences of at most `size` positions."""
        w = self.norm.weight
        return KVCache(len(self.blocks), batch, self.heads, size, w.numel() // self.heads, w.detach())

    def forward(
        self,
        x_BTC: Tensor,
        causal: bool,
        cache: KVCache | None = None,
        context: Tensor | None = None,
        return_layers: bool = False,
        condition: Tensor | None = None,
    ) -> Tensor | list[Tensor]:
        """Return (B, T, C); with `return_layers` the list of depth + 1 residual streams, the input first.

        With a cache, `x_BTC` holds only the positions that are new; the cache moves on by T. context: (B, M, C), seen
        from every position, and condition: (B, C), by a trunk that was made for them.
        """
        layers = [x_BTC]
        for i, block in enumerate(self.blocks):
            x_BTC = block(x_BTC, causal, cache, i, context, condition)
            layers.append(x_BTC)
        if cache is not None:
            cache.length += x_BTC.shape[1]
        return layers if return_layers else self.norm(x_BTC)
