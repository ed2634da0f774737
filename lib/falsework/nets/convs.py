"""A small residual tower of convolutions (He et al. 2016), and the reader that stands on one: a head for each factor.

The norms look at one picture at a time (GroupNorm, Wu and He 2018), so what a picture gives does not depend on the
batch around it. However large the picture, the tower ends in a map of 4 x 4.

Dimension key: B batch, S side in pixels, W width of the first stage, C = 4 W channels of the last, M = 16 cells of
the map, G glances, H hidden width of the reader, K values of a factor.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.errors import Refused

MAP = 4
GLANCES = 8
SIDES = (16, 32)


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm x)))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv_1, self.conv_2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x_BCSS: Tensor) -> Tensor:
        x = self.conv_1(F.silu(self.norm_1(x_BCSS)))
        return x_BCSS + self.conv_2(F.silu(self.norm_2(x)))


class Tower(nn.Module):
    """Pictures (B, 3, S, S), uint8 or floats in [-1, 1], to a map (B, C, 4, 4): three stages of W, 2 W and 4 W channels.

    Raises Refused when S is not 16 or 32 or W no multiple of 8, and for pictures of another size.
    """

    def __init__(self, side: int, width: int = 48) -> None:
        super().__init__()
        if side not in SIDES or width < 8 or width % 8:
            raise Refused(f"The tower got side {side} and width {width}, but needs side 16 or 32 and a multiple of 8.")
        self.side, self.channels = side, 4 * width
        stages: list[nn.Module] = []
        before = 3
        for stage, after in enumerate((width, 2 * width, 4 * width)):
            halve = side >> stage > MAP << (2 - stage)  # the stage sees side / 2 ** stage, or half of it
            shrink = nn.Conv2d(before, after, 4, 2, 1) if halve or stage else nn.Conv2d(before, after, 3, 1, 1)
            stages += [shrink, Residual(after)]
            before = after
        self.stages = nn.Sequential(*stages)
        self.norm = nn.GroupNorm(8, before)

    def forward(self, pictures_B3SS: Tensor) -> Tensor:
        if pictures_B3SS.shape[1:] != (3, self.side, self.side):
            given, need = tuple(pictures_B3SS.shape), f"(B, 3, {self.side}, {self.side})"
            raise Refused(f"The tower got pictures of shape {given}, but reads {need}.")
        x = pictures_B3SS
        if not x.is_floating_point():
            x = x.float() / 127.5 - 1
        return F.silu(self.norm(self.stages(x)))


class Mixer(nn.Module):
    """x + linear(gelu(linear(norm x))): puts together what stands in different places of the map."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.up, self.down = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)

    def forward(self, x_BH: Tensor) -> Tensor:
        return x_BH + self.down(F.gelu(self.up(self.norm(x_BH))))


class FactorReader(nn.Module):
    """Tower, flattened map and glances at it, `depth` mixers, and one linear head for each factor.

    A glance is a mean over the map under weights that the map decides: what is learned of a thing in one place serves in
    the others.
    factors: name -> number of its values K. Heads start at zero: the first guess is even over the values.
    """

    def __init__(
        self, side: int, factors: Mapping[str, int], width: int = 48, hidden: int = 384, depth: int = 1
    ) -> None:
        super().__init__()
        self.factors = dict(factors)
        self.tower = Tower(side, width)
        cells = MAP * MAP
        self.flat = nn.Linear(self.tower.channels * cells, hidden)
        self.where = nn.Linear(self.tower.channels * cells, GLANCES * cells)
        self.what = nn.Linear(self.tower.channels * GLANCES, hidden)
        self.blocks = nn.ModuleList(Mixer(hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(hidden)
        self.heads = nn.ModuleDict({f: nn.Linear(hidden, k) for f, k in factors.items()})
        for p in self.heads.parameters():
            nn.init.zeros_(p)

    def features(self, pictures_B3SS: Tensor) -> Tensor:
        """Return (B, H): what the heads read."""
        map_BCM = self.tower(pictures_B3SS).flatten(2)
        weight_BGM = self.where(map_BCM.flatten(1)).unflatten(1, (GLANCES, -1)).softmax(2)
        glances_BGC = weight_BGM @ map_BCM.transpose(1, 2)
        x_BH = self.flat(map_BCM.flatten(1)) + self.what(glances_BGC.flatten(1))
        for block in self.blocks:
            x_BH = block(x_BH)
        return self.norm(x_BH)

    def forward(self, pictures_B3SS: Tensor) -> dict[str, Tensor]:
        """Return factor -> logits (B, K)."""
        x_BH = self.features(pictures_B3SS)
        return {f: head(x_BH) for f, head in self.heads.items()}
