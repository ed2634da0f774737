"""Say the caption of a picture, word after word or all words at once (Tschannen et al. 2023, Cap and CapPa).

Dimension key: B batch, T caption length in tokens, V words.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.core.vocabulary import PAD

Loss = Callable[[nn.Module, dict[str, Tensor], torch.Generator], tuple[Tensor, dict[str, Tensor]]]


def caption_loss(parallel: float = 0.0) -> Loss:
    """Return an objective: nats per caption; a share `parallel` of the EXAMPLES is predicted all words at once.

    Which examples is drawn anew each step. Raises Refused for a share outside [0, 1].
    """
    if not 0 <= parallel <= 1:
        raise Refused(f"The share of parallel prediction is {parallel}, but must lie between 0 and 1.")

    def loss(
        model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        ids_BT = batch["ids"]
        context_BMC = model.look(batch["pictures"])  # type: ignore[operator]
        B = len(ids_BT)
        at_once = round(parallel * B)
        # batches are fresh draws, so the first rows are as random as any others
        parts = [(slice(0, at_once), True)] * (at_once > 0) + [(slice(at_once, B), False)] * (at_once < B)
        nats = ids_BT.new_zeros((), dtype=torch.float32)
        for rows, masked in parts:
            logits_BTV = model.say(context_BMC[rows], ids_BT[rows], masked)  # type: ignore[operator]
            nats = nats + F.cross_entropy(
                logits_BTV.flatten(0, 1), ids_BT[rows].flatten(), ignore_index=PAD, reduction="sum"
            )
        return nats / B, {}

    return loss
