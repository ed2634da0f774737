"""Time rivals side by side: A B A B ..., so that a slow minute of the machine falls on all of them alike.

Seconds are processor seconds of this process (`time.process_time`): with one thread they are what the work costs, and a
busy neighbour hardly moves them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

import torch
from torch import Tensor, nn

from falsework.core.artefacts import machine
from falsework.training import Objective, Train, generator_of, optimizers

Times = dict[str, list[float]]


def step_of(
    model: nn.Module, objective: Objective, batch: dict[str, Tensor], config: Train, fused: bool = False
) -> Callable[[], None]:
    """Return a function that trains one step on a batch, clipping as the course does; fused: AdamW's fused form."""
    opts = optimizers(model, config)
    for group in opts[0].param_groups:  # AdamW's; Muon has no fused form
        group["fused"] = fused
    generator = generator_of("step")

    def step() -> None:
        objective(model, batch, generator)[0].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            opt.step()
            opt.zero_grad(set_to_none=True)

    return step


def interleave(
    rivals: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 1, clock: Callable[[], float] | None = None
) -> Times:
    """Return seconds by name, `rounds` of each, in turns; the order turns round every second round."""
    clock = clock or time.process_time
    times: Times = {name: [] for name in rivals}
    for i in range(-warmup, rounds):
        for name in list(rivals)[:: 1 if i % 2 else -1]:
            start = clock()
            rivals[name]()
            if i >= 0:
                times[name].append(clock() - start)
    return times


def ratio(times: Times, of: str, to: str) -> str:
    """Return "median (min-max)" over the rounds of seconds of one rival over another's in the same round."""
    per_round = [a / b for a, b in zip(times[of], times[to])]
    return f"{statistics.median(per_round):.3f} ({min(per_round):.3f}-{max(per_round):.3f})"


def report(times: Times, unit: str = "s") -> None:
    """Print the median and the span of every rival."""
    scale = {"s": 1.0, "ms": 1e3}[unit]
    for name, seconds in times.items():
        low, mid, high = (scale * f(seconds) for f in (min, statistics.median, max))
        print(f"  {name:<44} {mid:9.2f} {unit}  ({low:.2f}-{high:.2f}, {len(seconds)} rounds)")


def heading(title: str, *packages: str) -> None:
    """Print what is measured, on which processor and with which versions."""
    here = machine() | {p: version(p) for p in packages}
    versions = ", ".join(f"{p} {v}" for p, v in here.items() if p not in ("cpu", "system"))
    print(f"{title}\n  {here['cpu']}, {here['system']}, {versions}", flush=True)
