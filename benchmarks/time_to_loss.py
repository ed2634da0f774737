"""Core-seconds that ours (Muon + AdamW) needs for the loss x-transformers reaches with AdamW at a tuned rate.

Real drawings, 128 palette colours, the training split; loss on the validation split, in bits per drawing. Same batches,
equal parameters, the course's own loop, warm-up and cosine for both. The peer's rate is swept at a short budget, and
the two best rates go the whole way; beside them its own table of positions (6 % more parameters) at the best rate, and
our net without Muon at the same rate. Ours keeps the laptop recipe's rates and is annealed at several lengths, each on
its own. One seed: a first look. Target: at most .6 of the core-seconds of the peer at its best.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import torch
from torch import nn

from falsework.core.rng import rng
from falsework.data.emoji import load_emoji
from falsework.objectives.next_token import next_token
from falsework.probes.likelihood import bits_per_token
from falsework.recipes.igpt import PRESETS
from falsework.training import Train, fit
from peer_nets import XTransformer, count
from timing import heading

RATES = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
LENGTHS = (0.3, 0.4, 0.5, 0.6, 0.8)
RECIPE = PRESETS["laptop"]


def run(net: str, train: Train, train_NT: np.ndarray, val_NT: np.ndarray, seed: int) -> dict[str, float]:
    """Train one net on one thread; return its core-seconds (evaluation left out) and its bits per validation drawing."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model: nn.Module = RECIPE.build(seed) if net == "ours" else XTransformer(RECIPE.width, net)
    ids_NT, clock = torch.tensor(train_NT), [0.0]

    def batches(step: int) -> dict[str, torch.Tensor]:
        if step == 0:  # last asked for when the loop begins
            clock[0] = time.process_time()
        return {"ids": ids_NT[torch.from_numpy(rng(seed, "batch", step).integers(len(ids_NT), size=train.batch))]}

    with tempfile.TemporaryDirectory() as folder:
        fit(model, next_token, batches, train, seed, Path(folder), checkpoint_seconds=math.inf)
    seconds = time.process_time() - clock[0]
    bits = float(bits_per_token(model, val_NT).sum(1).mean())
    return {"seconds": seconds, "bits": bits, "parameters": count(model), "steps": train.steps, "lr": train.lr}


def main() -> None:
    """Print the sweep, the peer's final loss and the shortest of our schedules that reaches it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=550, help="the peer's full budget, about 100 core-seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once, one thread each")
    args = parser.parse_args()
    heading(f"Core-seconds to the peer's loss, {args.steps} steps of the peer", "x-transformers")
    emoji, palette = load_emoji(), RECIPE.build(0)
    train_NT = RECIPE.ids(palette, emoji.split("train")).astype(np.int64)
    val_NT = RECIPE.ids(palette, emoji.split("val"))

    def each(jobs: list[tuple[str, Train]]) -> list[dict[str, float]]:
        work = (joblib.delayed(run)(net, train, train_NT, val_NT, args.seed) for net, train in jobs)
        found = joblib.Parallel(n_jobs=args.jobs)(work)
        for (net, train), row in zip(jobs, found):
            rate = f"AdamW {train.lr:g}" + (f", Muon {train.muon:g}" if train.muon else "")
            print(
                f"  {net:<6} {rate:<24} {train.steps:5} steps {row['seconds']:7.1f} core-s "
                f"({1e3 * row['seconds'] / train.steps:.0f} ms a step)  {row['bits']:7.1f} bits",
                flush=True,
            )
        return found

    def adamw(lr: float, steps: int) -> Train:
        return dataclasses.replace(RECIPE.train, lr=lr, muon=0.0, steps=steps)

    print(f"the peer's rate, {args.steps // 4} steps")
    sweep = each([("grid", adamw(lr, args.steps // 4)) for lr in RATES])
    best = [row["lr"] for row in sorted(sweep, key=lambda row: row["bits"])[:2]]
    print("the peer all the way; its own table of positions; ours without Muon")
    jobs = [("grid", adamw(lr, args.steps)) for lr in best]
    peers = each([*jobs, ("table", adamw(best[0], args.steps)), ("ours", adamw(best[0], args.steps))])
    print("ours, each length annealed on its own")
    mine = each([("ours", dataclasses.replace(RECIPE.train, steps=round(x * args.steps))) for x in LENGTHS])
    assert abs(peers[0]["parameters"] / mine[0]["parameters"] - 1) < 0.02
    named = {"the peer at its best": min(peers[:3], key=lambda row: row["bits"])}
    named |= {"the peer with its own table": peers[2], "ours without Muon": peers[3]}
    for name, rival in named.items():
        reached = [row for row in mine if row["bits"] <= rival["bits"]]
        line = f"{name}: {rival['bits']:.1f} bits in {rival['seconds']:.1f} core-s; ours: "
        if not reached:
            print(line + "not reached")
            continue
        first = min(reached, key=lambda row: row["seconds"])
        share = first["seconds"] / rival["seconds"]
        print(line + f"{first['bits']:.1f} bits in {first['seconds']:.1f} core-s, {first['steps']} steps: {share:.2f}")


if __name__ == "__main__":
    main()
