"""One loop trains every model: Muon on hidden matrices, AdamW on the rest, cosine decay, EMA, checkpoints, FLOPs.

The loop knows neither pictures nor words: `batches(step)` gives tensors, `objective(model, batch, generator)` a loss.
Both are functions of the step, so a run that was killed goes on to bit-identical weights.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from falsework.core.artefacts import write_atomic
from falsework.core.errors import Refused
from falsework.core.rng import seed_of

Batch = dict[str, Tensor]
Batches = Callable[[int], Batch]
Objective = Callable[[nn.Module, Batch, torch.Generator], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True)
class Train:
    """How long and how fast. Rates are peaks: linear warm-up, then cosine to zero.

    `muon` is the rate of the hidden matrices (Jordan et al. 2024, as in torch.optim.Muon), `lr` AdamW's rate for
    embeddings, heads and norms; `muon=0` trains everything with AdamW. `ema` is the decay of averaged weights, 0 = off.
    """

    steps: int = 1000
    batch: int = 32
    lr: float = 6e-3
    muon: float = 0.02
    weight_decay: float = 0.05
    warmup: int = 50
    ema: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "lr"):
            if not getattr(self, name) > 0:
                raise Refused(f"train.{name} is {getattr(self, name)}, but must be above 0.")
        for name in ("muon", "weight_decay", "warmup"):
            if not getattr(self, name) >= 0:
                raise Refused(f"train.{name} is {getattr(self, name)}, but must be 0 or more.")
        if not 0 <= self.ema < 1:
            raise Refused(f"train.ema is {self.ema}, but must be at least 0 and below 1.")


@dataclass(frozen=True)
class Fit:
    """What a training run cost: FLOPs of one step (forward and backward), wall seconds, core-seconds and threads."""

    flops_per_step: int
    seconds: float
    core_seconds: float
    threads: int


def generator_of(*keys: object, device: str = "cpu") -> torch.Generator:
    """Return a torch generator that depends on the keys alone, like `core.rng.rng`."""
    return torch.Generator(device).manual_seed(seed_of(*keys))


def count_flops(model: nn.Module, objective: Objective, batch: Batch) -> int:
    """Return the FLOPs of one forward and backward, by torch's FlopCounterMode (multiply and add count as two).

    Attention is run in its plain form while counting: the fused CPU kernel would go uncounted. The plain form counts
    the whole square, masked half included, for every arm alike.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        objective(model, batch, generator_of("flops", device=_device(model)))[0].backward()
    model.zero_grad(set_to_none=True)
    return counter.get_total_flops()


def optimizers(model: nn.Module, config: Train) -> list[torch.optim.Optimizer]:
    """Return AdamW, and Muon for the 2-D matrices inside blocks when `config.muon` is above 0; what is frozen stays."""
    free = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    hidden = [p for n, p in free if ".blocks." in f".{n}" and p.ndim == 2 and config.muon > 0]
    taken = {id(p) for p in hidden}
    rest = [p for _, p in free if id(p) not in taken]
    decay = [p for p in rest if p.ndim >= 2]
    plain = [p for p in rest if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95))]
    if hidden:
        made.append(torch.optim.Muon(hidden, lr=config.muon, momentum=0.95, weight_decay=0.0, adjust_lr_fn="original"))
    return made


def schedule(step: int, config: Train) -> float:
    """Return the share of the peak rate at a step: linear warm-up, cosine to zero at `config.steps`."""
    warm = min(config.warmup, config.steps // 4)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, config.steps - warm)))


def fit(
    model: nn.Module,
    objective: Objective,
    batches: Batches,
    config: Train,
    seed: int,
    folder: Path,
    *,
    name: str = "model",
    checkpoint_seconds: float = 20.0,
    watch: Callable[[nn.Module, int], None] | None = None,
) -> Fit:
    """Train `model` in place and return what it cost; with EMA the model ends with the averaged weights.

    `folder` receives log.jsonl (step, loss in nats, rate) and a checkpoint every `checkpoint_seconds`; if it holds a
    checkpoint, training goes on from there. `watch(model, step)` is called about a dozen times, to look, not to touch.
    Raises Refused at the first loss that is not finite, naming the step.
    """
    opts = optimizers(model, config)
    peaks = [[g["lr"] for g in o.param_groups] for o in opts]
    average = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad and config.ema}
    flops = count_flops(model, objective, batches(0))
    start, seconds, core = _restore(folder, model, opts, average)
    log = _open_log(folder / "log.jsonl", start)
    every, saved, began = max(1, config.steps // 200), time.monotonic(), time.monotonic() - seconds
    core_began = time.process_time() - core
    looks = {round(config.steps * i / 12) for i in range(1, 12)}
    model.train()
    with log:
        for step in range(start, config.steps):
            rate = schedule(step, config)
            for opt, peak in zip(opts, peaks):
                for group, lr in zip(opt.param_groups, peak):
                    group["lr"] = lr * rate
            loss, metrics = objective(
                model, batches(step), generator_of(seed, "objective", step, device=_device(model))
            )
            if not torch.isfinite(loss):
                raise Refused(f"The loss became {loss.item()} at step {step} of {name}; a lower rate may cure it.")
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for opt in opts:
                opt.step()
                opt.zero_grad(set_to_none=True)
            if average:
                with torch.no_grad():
                    for n, mean in average.items():
                        mean.lerp_(model.get_parameter(n), 1 - min(config.ema, (1 + step) / (10 + step)))
            if step % every == 0 or step == config.steps - 1:
                row = {"step": step, "loss": loss.item(), **{k: float(v) for k, v in metrics.items()}}
                log.write(json.dumps(row) + "\n")
                log.flush()
            if watch is not None and step in looks:
                model.eval()
                watch(model, step)
                model.train()
            if time.monotonic() - saved > checkpoint_seconds:
                spent = (time.monotonic() - began, time.process_time() - core_began)
                _save(folder, model, opts, average, step + 1, spent)
                saved = time.monotonic()
    if average:
        with torch.no_grad():
            for n, mean in average.items():
                model.get_parameter(n).copy_(mean)
    model.eval()
    return Fit(flops, time.monotonic() - began, time.process_time() - core_began, torch.get_num_threads())


def _device(model: nn.Module) -> str:
    return next(model.parameters()).device.type


def _open_log(path: Path, start: int) -> TextIO:
    """Open the log for appending, without the lines that a killed run wrote after its last checkpoint."""
    kept = []
    if start and path.exists():
        for line in path.read_text().splitlines():
            try:
                if json.loads(line)["step"] < start:
                    kept.append(line + "\n")
            except (json.JSONDecodeError, KeyError):
                break  # the line that was being written when the run died
    write_atomic(path, "".join(kept).encode())
    return path.open("a")


def _weights(model: nn.Module, average: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights and their averages by their names in a checkpoint."""
    now = {f"model.{n}": t for n, t in model.state_dict().items()}
    return now | {f"average.{n}": t for n, t in average.items()}


def _save(
    folder: Path,
    model: nn.Module,
    opts: list[torch.optim.Optimizer],
    average: dict[str, Tensor],
    step: int,
    spent: tuple[float, float],
) -> None:
    tensors = _weights(model, average)
    for i, opt in enumerate(opts):
        for p, state in opt.state_dict()["state"].items():
            tensors |= {f"opt.{i}.{p}.{k}": v for k, v in state.items() if isinstance(v, Tensor)}
    part = folder / "checkpoint.part"
    clean = {k: v.detach().contiguous() for k, v in tensors.items()}
    meta = {"step": step, "seconds": spent[0], "core_seconds": spent[1], "threads": torch.get_num_threads()}
    save_file(clean, part, metadata={k: str(v) for k, v in meta.items()})
    os.replace(part, folder / "checkpoint.safetensors")


def _restore(
    folder: Path, model: nn.Module, opts: list[torch.optim.Optimizer], average: dict[str, Tensor]
) -> tuple[int, float, float]:
    """Load the folder's checkpoint, if there is a readable one; return (step, seconds, core-seconds) so far."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0, 0.0, 0.0
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as f:
            meta = f.metadata() or {}
        tensors = load_file(path, device=_device(model))
        step, seconds, core = int(meta["step"]), float(meta["seconds"]), float(meta["core_seconds"])
        threads = int(meta["threads"])
        if any(tensors[n].shape != t.shape for n, t in _weights(model, average).items()):
            raise ValueError("it holds another net")
    except (SafetensorError, OSError, KeyError, ValueError):
        print(f"The checkpoint {path.name} was unreadable; training starts again from step 0.")
        return 0, 0.0, 0.0
    torch.set_num_threads(threads)  # bit-identity is promised for equal counts: go on as the run began
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    for n in average:
        average[n].copy_(tensors[f"average.{n}"])
    for i, opt in enumerate(opts):
        state: dict[int, dict[str, Tensor]] = {}
        for k, v in tensors.items():
            if k.startswith(f"opt.{i}."):
                _, _, p, key = k.split(".", 3)
                state.setdefault(int(p), {})[key] = v
        opt.load_state_dict({"state": state, "param_groups": opt.state_dict()["param_groups"]})
    return step, seconds, core
