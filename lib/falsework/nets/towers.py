"""Towers: a picture, or a caption, to a sequence of vectors. What stands on them decides what they learn.

An image tower is a patch tower (ViT: Dosovitskiy et al. 2021) or a tower of convolutions; both give `layers`, each a
grid of M vectors, so that one probe reads either. Both caption towers end in one vector per caption.

Dimension key: B batch, S side in pixels, P side of a patch, M = (S / P)^2 patches or 16 cells of a map, C width,
T caption length in tokens, V words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.core.vocabulary import END
from falsework.nets.convs import Tower
from falsework.nets.trunk import Trunk


def unit_range(pictures: Tensor) -> Tensor:
    """Return pictures as floats around [-1, 1]: uint8 is scaled, floats stay as they are."""
    return pictures if pictures.is_floating_point() else pictures.float() / 127.5 - 1


class PatchTower(nn.Module):
    """Pictures (B, 3, S, S), uint8 or floats in [-1, 1], to (B, M, C): patches, learned places, a trunk without mask.

    Raises Refused when S is no multiple of P, and for pictures of another size.
    """

    def __init__(self, side: int, patch: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        if side % patch:
            raise Refused(f"The side is {side} with patches of {patch}, but must be a multiple of the patch.")
        self.side, self.channels = side, width
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.place = nn.Parameter(torch.randn((side // patch) ** 2, width) * 0.02)
        self.trunk = Trunk(width, depth, heads)

    def stem(self, pictures_B3SS: Tensor) -> Tensor:
        """Return (B, M, C): what the trunk begins with."""
        if pictures_B3SS.shape[1:] != (3, self.side, self.side):
            given, need = tuple(pictures_B3SS.shape), f"(B, 3, {self.side}, {self.side})"
            raise Refused(f"The tower got pictures of shape {given}, but reads {need}.")
        return self.patches(unit_range(pictures_B3SS)).flatten(2).transpose(1, 2) + self.place

    def forward(self, pictures_B3SS: Tensor) -> Tensor:
        return self.trunk(self.stem(pictures_B3SS), causal=False)

    def layers(self, pictures_B3SS: Tensor) -> list[Tensor]:
        """Return depth + 1 residual streams (B, M, C), the patches first."""
        return self.trunk(self.stem(pictures_B3SS), causal=False, return_layers=True)


class ConvTower(nn.Module):
    """Pictures (B, 3, S, S) to (B, 16, C): the cells of the last map of `nets.convs.Tower`."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.map = Tower(side, width)
        self.side, self.channels = side, self.map.channels

    def forward(self, pictures_B3SS: Tensor) -> Tensor:
        return self.map(pictures_B3SS).flatten(2).transpose(1, 2)

    def layers(self, pictures_B3SS: Tensor) -> list[Tensor]:
        """Return a list with its one output."""
        return [self.forward(pictures_B3SS)]


class TextTower(nn.Module):
    """Captions as ids (B, T) to (B, C): a causal trunk, read at the end token as in CLIP (Radford et al. 2021, 2.4)."""

    def __init__(self, words: int, length: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.word = nn.Embedding(words, width)
        self.place = nn.Parameter(torch.randn(length, width) * 0.02)
        self.trunk = Trunk(width, depth, heads)
        self.channels = width
        nn.init.normal_(self.word.weight, std=0.02)

    def forward(self, ids_BT: Tensor) -> Tensor:
        x_BTC = self.trunk(self.word(ids_BT) + self.place[: ids_BT.shape[1]], causal=True)
        end_B = (ids_BT == END).int().argmax(1)
        return x_BTC[torch.arange(len(x_BTC), device=x_BTC.device), end_B]


class BagTower(nn.Module):
    """Captions as ids (B, T) to (B, C): the mean of the vectors of their words, whatever the order."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.word = nn.Embedding(words, width)
        self.channels = width
        nn.init.normal_(self.word.weight, std=0.02)

    def forward(self, ids_BT: Tensor) -> Tensor:
        said_BT1 = (ids_BT > END).unsqueeze(2).float()
        return (self.word(ids_BT) * said_BT1).sum(1) / said_BT1.sum(1).clamp_min(1)
