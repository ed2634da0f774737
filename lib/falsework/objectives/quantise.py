"""Rebuild a picture from the nearest codes (van den Oord et al. 2017, equation 3), the gradient passed straight through.

Dimension key: B batch, S side, T cells, D numbers of a cell.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from falsework.nets.towers import unit_range

COMMIT = 0.25  # how much a cell is drawn to its code, beside the code to its cells (the paper's beta)


def quantise(
    model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of "pictures" (B, 3, S, S); metrics: rmse in grey levels of 255, and used, the share of the codes."""
    at_BTD = model.look(batch["pictures"])  # type: ignore[operator]
    ids_BT = model.nearest(at_BTD)  # type: ignore[operator]
    code_BTD = model.codes[ids_BT]  # type: ignore[index]
    painted = model.paint(at_BTD + (code_BTD - at_BTD).detach())  # type: ignore[operator]
    error = F.mse_loss(painted, unit_range(batch["pictures"]))
    near = F.mse_loss(code_BTD, at_BTD.detach()) + COMMIT * F.mse_loss(at_BTD, code_BTD.detach())
    used = torch.tensor(ids_BT.unique().numel() / len(model.codes))  # type: ignore[arg-type]
    return error + near, {"rmse": 127.5 * error.detach().sqrt(), "used": used}
