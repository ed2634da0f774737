"""Captioners (Tschannen et al. 2023, "Image Captioners Are Scalable Vision Learners Too"): say the picture in words.

A tower reads the picture, a decoder says its caption and may look at the picture only through the tower's cells.

    causal     word t is predicted from the picture and the words before it (Cap)
    parallel   every word is predicted at once, from the picture alone: all inputs are masked (the Pa of CapPa)

Dimension key: B batch, T caption length in tokens, V words, M cells of the tower, C width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from falsework.core.vocabulary import BEGIN
from falsework.nets.trunk import Trunk


class Captioner(nn.Module):
    """log p(word_t | picture, ...) for every t; `blind` decoders get a context of zeros and know language alone."""

    def __init__(self, image: nn.Module, words: int, length: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.image = image
        self.norm_image = nn.LayerNorm(image.channels)  # type: ignore[arg-type]
        self.bridge = nn.Linear(image.channels, width)  # type: ignore[arg-type]
        self.word = nn.Embedding(words, width)
        self.mask = nn.Parameter(torch.zeros(width))
        self.place = nn.Parameter(torch.randn(length, width) * 0.02)
        self.trunk = Trunk(width, depth, heads, context=True)
        self.head = nn.Linear(width, words)
        nn.init.normal_(self.word.weight, std=0.02)
        nn.init.zeros_(self.head.weight)  # the first guess is even over the words

    def look(self, pictures_B3SS: Tensor) -> Tensor:
        """Return the context (B, M, C) that the decoder looks at: what the tower sees, once for any number of captions."""
        return self.bridge(self.norm_image(self.image(pictures_B3SS)))

    def say(self, context_BMC: Tensor, ids_BT: Tensor, parallel: bool = False) -> Tensor:
        """Return logits (B, T, V) of words whose ids are (B, T); causal row t sees ids before t, parallel rows see none."""
        B, T = ids_BT.shape
        if parallel:  # at all places, cut to T: else a row would hear how long the captions beside its own are
            masked_BTC = (self.mask + self.place).expand(B, -1, -1)
            return self.head(self.trunk(masked_BTC, causal=False, context=context_BMC)[:, :T])
        before_BT = torch.cat([ids_BT.new_full((B, 1), BEGIN), ids_BT[:, :-1]], 1)
        return self.head(self.trunk(self.word(before_BT) + self.place[:T], causal=True, context=context_BMC))

    def forward(self, pictures_B3SS: Tensor, ids_BT: Tensor, parallel: bool = False) -> Tensor:
        return self.say(self.look(pictures_B3SS), ids_BT, parallel)
