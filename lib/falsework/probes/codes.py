"""Is a code book used? A tokenizer whose codes collapse rebuilds everything as the same few tiles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from falsework.core.errors import Refused

COLLAPSED = 0.02  # effective codes, as a share of the book, below which it has collapsed
IDLE = 0.5  # share of codes that may go unused before one should ask for fewer


class Usage(NamedTuple):
    """used: codes that occur; effective: 2 to the entropy of their shares, the number of codes as if used evenly."""

    codes: int
    used: int
    effective: float

    @property
    def diagnosis(self) -> str:
        """What the numbers mean, in words."""
        if self.effective < max(2.0, COLLAPSED * self.codes):
            return "the book has collapsed: a few codes do all the work"
        if self.used < (1 - IDLE) * self.codes:
            return "most codes are idle: a smaller book would do as well"
        return "the book is in use"

    def __repr__(self) -> str:
        occur = f"{self.used:,} of {self.codes:,} codes occur"
        return f"{occur}, worth {self.effective:.0f} codes used evenly: {self.diagnosis}."


def usage(ids_NT: Tensor | np.ndarray, codes: int) -> Usage:
    """Return how a book of `codes` codes is used by pictures' codes (N, T); raises Refused for no codes, or one outside."""
    flat = torch.as_tensor(ids_NT).flatten().cpu()
    if not len(flat) or flat.min() < 0 or flat.max() >= codes:
        given = f"{flat.min()} to {flat.max()}" if len(flat) else "nothing"
        raise Refused(f"The codes are {given}, but must be one or more from 0 to {codes - 1}.")
    share = torch.bincount(flat, minlength=codes).double() / len(flat)
    kept = share[share > 0]
    return Usage(codes, len(kept), float(2 ** -(kept * kept.log2()).sum()))


@torch.no_grad()
def tiles(tokenizer: torch.nn.Module) -> np.ndarray:
    """Return uint8 (K, P, P, 3): what each code looks like alone, before the decoder sees its company."""
    cell = tokenizer.cell
    pixels = tokenizer.codes.clamp(-1, 1).add(1).mul(127.5).round().byte()  # type: ignore[operator, union-attr]
    return pixels.unflatten(1, (3, cell, cell)).permute(0, 2, 3, 1).cpu().numpy()
