"""A picture as a small grid of codes, and back (VQ-VAE: van den Oord et al. 2017).

The encoder looks at one cell at a time, so that a code says what stands in its cell and nothing else: codes that also
tell of their neighbours rebuild better and are far harder to predict. The decoder looks at the neighbours, so that a line
can go on across the border of two cells. Both start from nothing: a new VQ is k-means of cells, and learns from there.

Dimension key: B batch, S side, P side of a cell, G = S / P cells a side, T = G * G, D = 3 P^2 numbers of a cell, K codes.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.nets.towers import unit_range


class Local(nn.Module):
    """x + conv(silu(conv(silu(norm x)))): a cell, its eight neighbours, and through the norm the whole picture a little."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.mix, self.out = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 1)

    def forward(self, x_BCGG: Tensor) -> Tensor:
        return x_BCGG + self.out(F.silu(self.mix(F.silu(self.norm(x_BCGG)))))


class VQ(nn.Module):
    """Pictures (B, 3, S, S) <-> codes (B, T) in reading order.

    codes: (K, D), cells in [-1, 1] as `cells` gives them, where the codes start. Raises Refused when S is no multiple of P,
    or the width none of 8, when the codes are of another D, and for pictures or codes of another grid.
    """

    def __init__(self, side: int, cell: int, codes_KD: Tensor, width: int) -> None:
        super().__init__()
        if side % cell:
            raise Refused(f"The side is {side} with cells of {cell}, but must be a multiple of the cell.")
        inside = 3 * cell**2
        if width < 8 or width % 8:
            raise Refused(f"The decoder's width is {width}, but must be a multiple of 8.")
        if codes_KD.shape[1] != inside:
            raise Refused(f"The codes have {codes_KD.shape[1]} numbers, but a cell of {cell} x {cell} has {inside}.")
        self.side, self.cell, self.grid = side, cell, side // cell
        self.up, self.down = nn.Linear(inside, 2 * inside), nn.Linear(2 * inside, inside)
        self.decoder = nn.Sequential(
            nn.Conv2d(inside, width, 3, padding=1), *(Local(width) for _ in range(3)), nn.Conv2d(width, inside, 1)
        )
        self.codes = nn.Parameter(codes_KD.clone())
        for last in (self.down, self.decoder[-1]):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def cells(self, pictures_B3SS: Tensor) -> Tensor:
        """Return (B, T, D) in [-1, 1]: the pixels of each cell."""
        if pictures_B3SS.shape[1:] != (3, self.side, self.side):
            given, need = tuple(pictures_B3SS.shape), f"(B, 3, {self.side}, {self.side})"
            raise Refused(f"The tokenizer got pictures of shape {given}, but reads {need}.")
        return F.pixel_unshuffle(unit_range(pictures_B3SS), self.cell).flatten(2).transpose(1, 2)

    def look(self, pictures_B3SS: Tensor) -> Tensor:
        """Return (B, T, D): where each cell would like its code to be."""
        x_BTD = self.cells(pictures_B3SS)
        return x_BTD + self.down(F.silu(self.up(x_BTD)))

    def nearest(self, at_BTD: Tensor) -> Tensor:
        """Return int64 (B, T): the nearest code by squared distance."""
        return (at_BTD @ self.codes.T - self.codes.square().sum(1) / 2).argmax(2)

    def encode(self, pictures_B3SS: Tensor) -> Tensor:
        """Return codes, int64 (B, T)."""
        return self.nearest(self.look(pictures_B3SS))

    def paint(self, codes_BTD: Tensor) -> Tensor:
        """Return pictures (B, 3, S, S) around [-1, 1]: what the codes are, and what the decoder makes of their company."""
        grid = codes_BTD.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return F.pixel_shuffle(grid + self.decoder(grid), self.cell)

    def decode(self, ids_BT: Tensor) -> Tensor:
        """Return pictures (B, 3, S, S) in [-1, 1]; raises Refused for another number of codes than T."""
        if ids_BT.shape[1] != self.grid**2:
            raise Refused(f"A picture has {self.grid**2} codes, but {ids_BT.shape[1]} were given.")
        return self.paint(self.codes[ids_BT]).clamp(-1, 1)
