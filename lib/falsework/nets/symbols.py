"""p(c): codes of a few symbols, each predicted from those before it. Every code has a probability, and they sum to one.

Dimension key: B batch, K symbols of a code, V values of the symbol that has most, C width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.nets.trunk import Trunk


class SymbolTransformer(nn.Module):
    """p(s_1 .. s_K) = prod_k p(s_k | symbols before k). values: how many each symbol may take, two or more symbols."""

    sizes: Tensor

    def __init__(self, values: Sequence[int], width: int, depth: int, heads: int) -> None:
        super().__init__()
        K, V = len(values), max(values)
        self.register_buffer("sizes", torch.tensor(values))
        self.told = nn.ModuleList(nn.Embedding(V, width) for _ in range(K - 1))
        self.place = nn.Parameter(torch.randn(K, width) * 0.02)
        self.trunk = Trunk(width, depth, heads)
        self.head = nn.Linear(width, K * V)
        nn.init.zeros_(self.head.weight)  # the first guess is even over the codes
        nn.init.zeros_(self.head.bias)

    def forward(self, symbols_BK: Tensor) -> Tensor:
        """Return log p, (B,), in nats; raises Refused for symbols outside their values."""
        K = symbols_BK.shape[1]
        if len(self.sizes) != K or bool(((symbols_BK < 0) | (symbols_BK >= self.sizes)).any()):
            raise Refused(f"The codes must have {len(self.sizes)} symbols, from 0 to below {self.sizes.tolist()}.")
        before = [table(symbols_BK[:, k]) for k, table in enumerate(self.told)]
        x_BKC = torch.stack([torch.zeros_like(before[0]), *before], 1) + self.place
        heard_BKC = self.trunk(x_BKC, causal=True)
        # the head of symbol k reads place k
        logits_BKV = torch.einsum("bkc,kvc->bkv", heard_BKC, self.head.weight.view(K, -1, x_BKC.shape[2]))
        logits_BKV = logits_BKV + self.head.bias.view(K, -1)
        absent_KV = torch.arange(logits_BKV.shape[2], device=symbols_BK.device) >= self.sizes[:, None]
        log_p_BKV = logits_BKV.masked_fill(absent_KV, -torch.inf).log_softmax(-1)
        return log_p_BKV.gather(2, symbols_BK[:, :, None]).sum((1, 2))
