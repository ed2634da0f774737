"""The nets that are compared: ours, x-transformers' and Hugging Face's GPT-2, all built from sizes, nothing downloaded.

Dimension key: B batch, T pixels, C width, K palette colours.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from falsework.nets.igpt import PixelTransformer

SIDE, COLOURS, DEPTH, HEADS = 16, 128, 4, 4
LENGTH = SIDE * SIDE


def count(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())


def ours(width: int, palette_K3: Tensor | None = None) -> PixelTransformer:
    """Return the net of 01_igpt."""
    palette_K3 = torch.zeros(COLOURS, 3, dtype=torch.uint8) if palette_K3 is None else palette_K3
    return PixelTransformer(SIDE, palette_K3, width, DEPTH, HEADS)


class XTransformer(nn.Module):
    """x-transformers' decoder as a pixel model: pre-norm LayerNorm, GELU, MLP of 4 widths, learned absolute places.

    `places="grid"` hands it a learned row and column, as ours has, through its own `pos` argument: equal parameters.
    `places="table"` is its own table of one vector a position: 6 % more of them at width 64.
    """

    def __init__(self, width: int, places: str = "grid", flash: bool = True) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from x_transformers import Decoder, TransformerWrapper
        layers = Decoder(dim=width, depth=DEPTH, heads=HEADS, attn_dim_head=width // HEADS, attn_flash=flash)
        self.net = TransformerWrapper(
            num_tokens=COLOURS + 1,
            logits_dim=COLOURS,
            max_seq_len=LENGTH,
            use_abs_pos_emb=places == "table",
            attn_layers=layers,
        )
        self.grid = places == "grid"
        if self.grid:  # its own tables start at this scale
            self.row = nn.Parameter(torch.randn(SIDE, 1, width) * width**-0.5)
            self.column = nn.Parameter(torch.randn(1, SIDE, width) * width**-0.5)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Return logits (B, T, K) of every pixel given those before it, as ours does."""
        start_B1 = ids_BT.new_full((len(ids_BT), 1), COLOURS)
        seen_BT = torch.cat([start_B1, ids_BT[:, :-1]], 1)
        return self.net(seen_BT, pos=(self.row + self.column).flatten(0, 1) if self.grid else None)


def gpt2(width: int, attention: str) -> nn.Module:
    """Return Hugging Face's GPT-2 of our size; `attention` is "sdpa" or "eager"."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=COLOURS + 1,
        n_positions=LENGTH + 1,
        n_embd=width,
        n_layer=DEPTH,
        n_head=HEADS,
        bos_token_id=COLOURS,
        eos_token_id=None,
        attn_implementation=attention,
    )
    return GPT2LMHeadModel(config).eval()
