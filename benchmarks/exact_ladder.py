"""Seconds of the exact ladder of 00_the_world at laptop, both worlds, one seed, one core. Target: at most 60."""

from __future__ import annotations

import time

from threadpoolctl import threadpool_limits

from falsework.experiments import Subject
from falsework.experiments.the_world import information
from timing import heading


def main() -> None:
    """Print the seconds of each world and of both."""
    heading("The exact ladder at laptop, one seed", "scipy")
    total = 0.0
    with threadpool_limits(1):
        for arm in ("exact", "drawings"):
            start = time.process_time()
            rows = information(Subject("laptop", arm, 0, None, None)).rows
            seconds = time.process_time() - start
            total += seconds
            print(f"  {arm:<12} {seconds:6.1f} core-s, {len(rows)} rows")
    print(f"  both         {total:6.1f} core-s")


if __name__ == "__main__":
    main()
