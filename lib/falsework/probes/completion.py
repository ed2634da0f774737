"""A picture begun: which of eight answers its model finds likeliest, and how it goes on when half of it is given.

Nothing is said to the model: its caption is empty. Dimension key: N pictures, A answers, S side, T = G * G codes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from falsework.core.errors import Refused
from falsework.core.vocabulary import PAD, Vocabulary
from falsework.probes.drawing import draw_codes, paint
from falsework.probes.likelihood import drawing_bits
from falsework.recipes.dalle import codes_of
from falsework.recipes.pairs import shown


def silent(model: Any, n: int) -> Tensor:
    """Return int64 (n, L): empty captions."""
    return torch.full((n, model.stream.length), PAD)


def answer_bits(model: Any, pictures_NASS3: np.ndarray) -> np.ndarray:
    """Return float64 (N, A): what each picture costs the model in bits. The cheapest is its answer."""
    N, A, side = pictures_NASS3.shape[:3]
    codes = codes_of(model, shown(pictures_NASS3.reshape(N * A, side, side, 3), model.tokenizer.side))
    return drawing_bits(model.stream, silent(model, N * A), codes).sum(1).reshape(N, A)


def finish(
    model: Any, words: Vocabulary, pictures: np.ndarray, kept: np.ndarray, *keys: object, **how: Any
) -> np.ndarray:
    """Return uint8 (N, S, S, 3): the pictures with all cells but the kept ones drawn by the model, unasked.

    kept: bool (G, G). The rest of the picture is no help: its codes are not looked at. Raises Refused for pictures of
    another size, and for another grid.
    """
    grid = model.tokenizer.grid
    if kept.shape != (grid, grid):
        raise Refused(f"The cells to keep have shape {kept.shape}, but this tokenizer's grid is {grid} x {grid}.")
    codes = codes_of(model, shown(pictures, model.tokenizer.side))
    given = torch.where(torch.from_numpy(kept.reshape(-1)).to(codes.device), codes, -1)
    how = {"guidance": 1.0, "temperature": 1.0} | how  # without words there is nothing to be guided by
    return paint(model, draw_codes(model, words, [""] * len(codes), *keys, given_NT=given, **how))


def upper(model: Any, halves: np.ndarray) -> np.ndarray:
    """Return uint8 (N, S, S, 3): upper halves on an empty ground; raises Refused for halves of another size."""
    side = model.tokenizer.side
    if halves.ndim != 4 or halves.shape[1:] != (side // 2, side, 3):
        need = f"(N, {side // 2}, {side}, 3)"
        raise Refused(f"The upper halves have shape {halves.shape}, but must have {need}: half of a picture's height.")
    return np.concatenate([halves, np.zeros_like(halves)], 1)


def upper_cells(model: Any) -> np.ndarray:
    """Return bool (G, G): the upper half of the cells."""
    grid = model.tokenizer.grid
    return np.arange(grid * grid).reshape(grid, grid) < grid * grid // 2
