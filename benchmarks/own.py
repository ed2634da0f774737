"""What no peer is asked for: how much the course can draw, judge and hold, each beside its target.

    python benchmarks/own.py            # look; about 3 minutes
    python benchmarks/own.py --keep     # and keep it in evidence/benchmarks, and the table in README.md

One thread, but for restyling, which has both cores as in the notebook. Seconds are processor seconds or wall seconds, as
each line says.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

import peer_nets as nets
from falsework.core.paths import root
from falsework.data.emoji import load_emoji
from falsework.experiments import Subject, exhibit_path, experiment_of
from falsework.experiments.the_world import information
from falsework.probes.candidates import embed_pictures
from falsework.probes.restyling import Painter
from falsework.probes.zero_shot import class_weights
from falsework.recipes import clip, shipped
from falsework.recipes.reader import world_of
from falsework.samplers import guide, sample_tokens
from falsework.training import generator_of
from falsework.world.scenes import SceneWorld
from kept import keep, markdown, span
from timing import heading

VERDICTS = (sys.executable, "-m", "falsework", "verdicts")
LOOK = "import sys; from falsework.cli import main; main(['verdicts']); sys.exit('torch' in sys.modules)"


class Found(NamedTuple):
    """What was measured, in which unit, every value, and the target: its sign says on which side to be."""

    what: str
    unit: str
    values: list[float]
    target: str = ""


def timed(once: Callable[[], object], rounds: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Return seconds of each round."""
    seconds = []
    for _ in range(rounds):
        start = clock()
        once()
        seconds.append(clock() - start)
    return seconds


def verdicts() -> Iterator[Found]:
    """From a cold start; that torch was not imported is asserted, not timed."""
    subprocess.run((sys.executable, "-c", LOOK), check=True, stdout=subprocess.DEVNULL)
    once = lambda: subprocess.run(VERDICTS, check=True, stdout=subprocess.DEVNULL)  # noqa: E731
    yield Found("falsework verdicts, without torch", "wall s", timed(once, 5), "<= 2")


def ladder() -> Iterator[Found]:
    """The exact worlds of 00_the_world."""
    with threadpool_limits(1):
        worlds = lambda: [information(Subject("laptop", arm, 0, None, None)) for arm in ("exact", "drawings")]  # noqa: E731
        yield Found("exact ladder, both worlds, one seed", "core-s", timed(worlds, 1, time.process_time), "<= 60")


def scenes() -> Iterator[Found]:
    """Every kind in its share; split, captions and palette are left out, a training draw pays them on top."""
    count = 8192
    for world in (world_of("plain-16"), world_of("plain-32"), world_of("cluttered-16"), SceneWorld("cluttered", 32)):
        blocks = iter(np.arange(8 * count).reshape(8, count))
        world.images(next(blocks))
        seconds = timed(lambda: world.images(next(blocks)), 7, time.process_time)  # noqa: B023, used in this turn only
        yield Found(f"scenes drawn, {world.name}", "a core-s", [count / s for s in seconds], ">= 20000")


def names() -> Iterator[Found]:
    """Zero-shot at full size: drawings against every name."""
    recipe, emoji = clip.PRESETS["laptop"], load_emoji()
    model, names = recipe.build(0).eval(), emoji.factors["concept"]
    pictures = emoji.images(np.arange(1000))

    def once() -> None:
        weights = class_weights(model, recipe.pairs.vocabulary, names)
        (embed_pictures(model, pictures, 32) @ weights.T).argmax(1)

    yield Found(f"1,000 drawings against {len(names):,} names", "wall s", timed(once, 5), "<= 2")


def memory() -> Iterator[Found]:
    """1,000 guided DALL-E pictures in blocks of 250, in a process of their own: torch and all."""
    code = "import own; own.draw_thousand()"
    done = subprocess.run((sys.executable, "-c", code), check=True, capture_output=True, text=True, cwd=sys.path[0])
    yield Found("peak memory of 1,000 DALL-E pictures, guided", "MiB", [float(done.stdout)], "<= 1024")


def draw_thousand() -> None:
    """Draw them and print the peak of this process in MiB (`ru_maxrss` is in KiB on Linux, in bytes on macOS)."""
    import resource  # not on Windows

    torch.set_num_threads(1)
    model, generator = nets.our_stream(128).eval(), generator_of("memory")
    for _ in range(4):
        text, empty = torch.randint(3, nets.WORDS, (250, nets.TEXT)), torch.zeros(250, 0, dtype=torch.long)
        step = guide(model.step(text), model.step(torch.zeros_like(text)), 2.0)
        sample_tokens(step, empty, nets.GRID**2, generator)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak / (2**20 if sys.platform == "darwin" else 2**10))


def restyling() -> Iterator[Found]:
    """64 drawings by the laptop's unCLIP, whose weights ship with the course: no peer has an inversion of this size."""
    torch.set_num_threads(2)
    experiment = experiment_of("06_dalle2")
    assert experiment is not None
    recipe, seed = experiment.arms("laptop")["drawings"], experiment.ships_seed("drawings")
    painter = Painter(shipped(recipe, seed, exhibit_path(root(), "06_dalle2", "drawings")), recipe, seed)
    pictures = load_emoji().images(load_emoji().split("test")[:64])
    seen = painter.see(pictures)
    latent = painter.invert(pictures, seen)
    off = painter.draw(seen, latent=latent) - (pictures.astype(np.float32) / 127.5 - 1)
    both = lambda: painter.draw(seen, latent=painter.invert(pictures, seen))  # noqa: E731
    yield Found("64 drawings up the flow and down again", "wall s", timed(both, 3), "<= 20")
    yield Found("how far off they then are, of a range of 2", "rms", [float(np.sqrt(np.square(off).mean()))])
    yield Found("a guided variation of each", "wall s", timed(lambda: painter.draw(seen, "benchmark"), 3))
    torch.set_num_threads(1)


MEASURES = {f.__name__: f for f in (verdicts, ladder, scenes, names, memory, restyling)}


def table(rows: list[dict[str, object]]) -> list[list[str]]:
    """Return the table: median and span of each, and whether the target is reached."""
    grouped: dict[tuple, list] = {}
    for row in rows:
        grouped.setdefault((row["what"], row["unit"], row["target"]), []).append(row["value"])
    lines = [["what", "unit", "median (least to most)", "target"]]
    for (what, unit, target), values in grouped.items():
        mid = float(np.median(values))
        if isinstance(target, str) and target:
            side, _, bound = target.partition(" ")
            reached = mid <= float(bound) if side == "<=" else mid >= float(bound)
            target = f"{side} {float(bound):,.0f} {'reached' if reached else '**not reached**'}"
        lines.append([what, unit, span(values, 0 if mid >= 100 else 2 if mid >= 0.1 else 4), str(target or "")])
    return lines


def main() -> None:
    """Run, print, and keep if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(MEASURES), choices=MEASURES)
    parser.add_argument("--keep", action="store_true", help="publish in evidence/benchmarks and in README.md")
    args = parser.parse_args()
    if args.keep and set(args.only) != set(MEASURES):
        parser.error("--keep publishes one whole run; leave --only out")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    heading("What no peer is asked for", "scipy")
    found = [one for name in args.only for one in MEASURES[name]()]
    rows = [
        {"what": f.what, "unit": f.unit, "target": f.target, "round": i, "value": value}
        for f in found
        for i, value in enumerate(f.values)
    ]
    print(markdown(table(rows)))
    if args.keep:
        keep("own", rows, table(rows), ("scipy",))


if __name__ == "__main__":
    main()
