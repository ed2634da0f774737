"""Two seeds of 01_igpt (drawings) at once, one thread each, beside one alone on one thread: is the second core free?

The runner's own jobs in its own worker processes, in a temporary root. Target: at most 1.25 of the wall seconds.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time

import joblib

from falsework.experiments.jobs import Job, run_job
from timing import heading, interleave, ratio, report


def main() -> None:
    """Print the wall seconds of one seed and of two, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    heading(f"One seed and two seeds of iGPT on drawings at laptop, {args.steps} steps", "joblib")
    fresh = itertools.count()
    with tempfile.TemporaryDirectory() as root, joblib.Parallel(n_jobs=2) as pool:

        def train(seeds: int) -> None:
            """Train seeds that the store does not have yet."""
            over = (("drawings.train.steps", args.steps),)
            jobs = [Job("01_igpt", "laptop", "drawings", next(fresh), (), over, root, threads=1) for _ in range(seeds)]
            pool(joblib.delayed(run_job)(job) for job in jobs)

        train(2)  # both workers import and load
        rivals = {"one seed": lambda: train(1), "two seeds": lambda: train(2)}
        times = interleave(rivals, args.rounds, warmup=0, clock=time.perf_counter)
    report(times)
    print(f"  two seeds / one seed: {ratio(times, 'two seeds', 'one seed')}")


if __name__ == "__main__":
    main()
