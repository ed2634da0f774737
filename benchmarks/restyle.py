"""Inversion and regeneration of 64 drawings by the laptop's unCLIP, whose weights ship with the course.

Target: less than 20 s of both cores together. Nothing of the peers is timed: none ships an inversion of this size.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from falsework.core.paths import root
from falsework.data.emoji import load_emoji
from falsework.experiments import exhibit_path, experiment_of
from falsework.probes.restyling import Painter
from falsework.recipes import shipped
from timing import heading, interleave, report

COUNT = 64


def main() -> None:
    """Print seconds of the wall clock: up the flow, down again, and a variation with guidance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    experiment = experiment_of("06_dalle2")
    assert experiment is not None
    recipe, seed = experiment.arms("laptop")["drawings"], experiment.ships_seed("drawings")
    start = time.perf_counter()
    painter = Painter(shipped(recipe, seed, exhibit_path(root(), "06_dalle2", "drawings")), recipe, seed)
    heading(f"{COUNT} drawings, {args.threads} threads; loaded in {time.perf_counter() - start:.1f} s")
    pictures = load_emoji().images(load_emoji().split("test")[:COUNT])
    seen = painter.see(pictures)
    latent = painter.invert(pictures, seen)
    again = painter.draw(seen, latent=latent)
    off = float(np.sqrt(np.square(again - (pictures.astype(np.float32) / 127.5 - 1)).mean()))
    print(f"  drawn again from their own noise they are off by {off:.4f} (root mean square, of a range of 2)")
    ways = {
        "up the flow": lambda: painter.invert(pictures, seen),
        "down again": lambda: painter.draw(seen, latent=latent),
        "a variation, guided": lambda: painter.draw(seen, "benchmark"),
    }
    report(interleave(ways, args.rounds, clock=time.perf_counter), "s")


if __name__ == "__main__":
    main()
