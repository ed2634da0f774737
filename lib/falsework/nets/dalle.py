"""DALL-E (Ramesh et al. 2021): a caption and a picture as one stream of tokens, text first.

    p(words, codes) = prod_t p(word_t | words before) * prod_t p(code_t | all words, codes before)

Text positions know words alone and picture positions codes alone: each has a head of its own, so the other ids are never
sampled. A caption shorter than its place is filled with a learned pad, one for each position.

Dimension key: B batch, L text length, T = G * G codes, V words, K codes, D numbers of a cell, C width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.core.vocabulary import PAD
from falsework.nets.trunk import KVCache, Trunk


class JointTransformer(nn.Module):
    """The stream: (L words or pads) (T codes).

    look_KD: what each code looks like, frozen. Codes that look alike begin alike, as input and as output.
    """

    look: Tensor

    def __init__(self, words: int, length: int, look_KD: Tensor, grid: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        codes, numbers = look_KD.shape
        self.length, self.grid, self.cells = length, grid, grid * grid
        self.register_buffer("look", look_KD / look_KD.std())
        self.word, self.code = nn.Embedding(words, width), nn.Embedding(codes, width)
        self.see, self.match = nn.Linear(numbers, width, bias=False), nn.Linear(width, numbers, bias=False)
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.pad = nn.Parameter(torch.randn(length, width) * 0.02)
        self.text_place = nn.Parameter(torch.randn(length, width) * 0.02)
        self.row = nn.Parameter(torch.randn(grid, 1, width) * 0.02)
        self.column = nn.Parameter(torch.randn(1, grid, width) * 0.02)
        self.cell = nn.Parameter(torch.randn(grid * grid, width) * 0.02)
        self.trunk = Trunk(width, depth, heads)
        self.say, self.draw = nn.Linear(width, words), nn.Linear(width, codes)
        for start in (self.word, self.code, self.see):
            nn.init.normal_(start.weight, std=0.02)
        for head in (self.say, self.draw, self.match):
            nn.init.zeros_(head.weight)  # the first guess is even

    def text(self, ids_BL: Tensor) -> Tensor:
        """Return (B, L, C): words or pads at their places. Raises Refused for another length than L."""
        if ids_BL.shape[1] != self.length:
            raise Refused(f"The captions have {ids_BL.shape[1]} tokens, but take {self.length}, filled up with pads.")
        heard = torch.where((ids_BL == PAD)[..., None], self.pad, self.word(ids_BL))
        return heard + self.text_place

    def picture(self, ids_BT: Tensor, first: int = 0) -> Tensor:
        """Return (B, T', C): codes that stand at the places from `first` on."""
        return self.placed(ids_BT, first, self.looks)

    def placed(self, ids_BT: Tensor, first: int, looks_KC: Tensor) -> Tensor:
        """Return `picture` from looks at hand."""
        place_TC = (self.row + self.column).flatten(0, 1) + self.cell
        return F.embedding(ids_BT, looks_KC) + place_TC[first : first + ids_BT.shape[1]]

    @property
    def looks(self) -> Tensor:
        """(K, C): each code as input, a vector of its own and what it looks like."""
        return self.code.weight + self.see(self.look)

    @property
    def scores(self) -> Tensor:
        """(K, C): each code as output, likewise."""
        return self.draw.weight + self.look @ self.match.weight

    def logits(self, x_BTC: Tensor) -> Tensor:
        """Return (B, T', K): a score for each code."""
        return F.linear(x_BTC, self.scores, self.draw.bias)

    def forward(self, text_BL: Tensor, codes_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of the words (B, L, V) and of the codes (B, T, K), each from what stands before it."""
        start = self.start.expand(len(text_BL), 1, -1)
        x_BSC = torch.cat([start, self.text(text_BL), self.picture(codes_BT[:, :-1])], 1)
        x_BSC = self.trunk(x_BSC, causal=True)
        return self.say(x_BSC[:, : self.length]), self.logits(x_BSC[:, self.length :])

    def step(self, text_BL: Tensor) -> Callable[[Tensor, KVCache | None], tuple[Tensor, KVCache]]:
        """Return the sampler's step for these captions: codes that are new -> (logits (B, K) of the next code, cache)."""
        looks_KC, scores_KC = self.looks.detach(), self.scores.detach()  # once for all steps

        def step(new_BT: Tensor, cache: KVCache | None) -> tuple[Tensor, KVCache]:
            if cache is None:
                cache = self.trunk.new_cache(len(text_BL), 1 + self.length + self.cells)
                start = self.start.expand(len(text_BL), 1, -1)
                x_BSC = torch.cat([start, self.text(text_BL), self.placed(new_BT, 0, looks_KC)], 1)
            else:
                x_BSC = self.placed(new_BT, cache.length - 1 - self.length, looks_KC)
            x_BC = self.trunk(x_BSC, causal=True, cache=cache)[:, -1]
            return F.linear(x_BC, scores_KC, self.draw.bias), cache

        return step


class DALLE(nn.Module):
    """The stream, the tokenizer it stands on, and the CLIP that picks among its drawings; both frozen.

    Raises Refused for a tokenizer of another grid.
    """

    def __init__(self, stream: JointTransformer, tokenizer: nn.Module, clip: nn.Module) -> None:
        super().__init__()
        if tokenizer.grid != stream.grid:
            raise Refused(
                f"The tokenizer cuts pictures into {tokenizer.grid} x {tokenizer.grid} cells, but the stream has places "
                f"for {stream.grid} x {stream.grid}."
            )
        self.stream = stream
        self.tokenizer, self.clip = tokenizer.requires_grad_(False), clip.requires_grad_(False)

    def forward(self, text_BL: Tensor, codes_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stream's logits."""
        return self.stream(text_BL, codes_BT)
