"""Scenes drawn a second on one core, every kind in its share: the renderer must never be what training waits for.

Target: 20,000 a second. Split, captions and palette are left out; a training draw pays them on top.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from falsework.recipes.reader import world_of
from falsework.world.scenes import SceneWorld
from timing import heading


def main() -> None:
    """Print scenes a second by layout and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    heading(f"{args.scenes} scenes, {args.rounds} rounds", "numpy")
    worlds = [world_of("plain-16"), world_of("plain-32"), world_of("cluttered-16"), SceneWorld("cluttered", 32)]
    for world in worlds:
        world.images(np.arange(args.scenes))
        paces = []
        for turn in range(args.rounds):
            index = np.arange(args.scenes) + (turn + 1) * args.scenes
            start = time.process_time()
            world.images(index)
            paces.append(args.scenes / (time.process_time() - start))
        print(
            f"  {world.name:13} {statistics.median(paces):8,.0f} ({min(paces):,.0f}-{max(paces):,.0f}) scenes a second"
        )


if __name__ == "__main__":
    main()
