"""One training step (forward, backward, AdamW) of our pixel transformer beside x-transformers', one thread, interleaved.

Target: ours takes at most 1.08 of the peer's seconds. `python benchmarks/train_step.py --help` for the sizes.
"""

from __future__ import annotations

import argparse

import torch

from falsework.objectives.next_token import next_token
from falsework.training import Train
from peers import COLOURS, LENGTH, XTransformer, count, ours
from timing import heading, interleave, ratio, report, step_of

BATCH = 16


def batch() -> dict[str, torch.Tensor]:
    """Return random pictures."""
    return {"ids": torch.randint(COLOURS, (BATCH, LENGTH))}


def main() -> None:
    """Print the seconds of a step at each width, and ours over the peer's best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--rounds", type=int, default=25)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    heading("One training step, batch 16 x 256 tokens, depth 4, 128 colours", "x-transformers")
    adamw = Train(steps=1, batch=BATCH, lr=1e-3, muon=0.0)
    for width in args.widths:
        nets = {
            "ours": ours(width),
            "peer with flash": XTransformer(width),
            "peer without": XTransformer(width, flash=False),
        }
        sizes = {name: count(net) for name, net in nets.items()}
        assert all(abs(n / sizes["ours"] - 1) < 0.02 for n in sizes.values()), f"unequal parameters: {sizes}"
        kinds = {"AdamW": False, "fused AdamW": True}
        rivals = {
            f"{n}, {k}": step_of(net, next_token, batch(), adamw, fused)
            for n, net in nets.items()
            for k, fused in kinds.items()
        }
        rivals["ours, Muon + AdamW"] = step_of(ours(width), next_token, batch(), Train(steps=1, batch=BATCH))
        times = interleave(rivals, args.rounds, warmup=3)
        print(f"width {width}: {sizes['ours']:,} parameters, the peer {sizes['peer with flash']:,}")
        report(times, "ms")
        for kind in kinds:
            print(f"  ours / peer with flash, {kind}: {ratio(times, f'ours, {kind}', f'peer with flash, {kind}')}")
        print(f"  ours, Muon / AdamW: {ratio(times, 'ours, Muon + AdamW', 'ours, AdamW')}")


if __name__ == "__main__":
    main()
