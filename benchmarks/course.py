"""The whole course on the clock: wall time and peak memory of `falsework run --preset P` in a clone.

    python benchmarks/course.py smoke --clone PATH            # look; what follows is handed on, such as --only 00
    python benchmarks/course.py laptop --clone PATH --keep    # and keep it in evidence/benchmarks, and in README.md

The clone should have empty stores, or what was trained before is not paid for again; how many networks it held is kept
with the result. The clone's own .venv runs it where there is one, else this Python with the clone's library.

Memory is that of the whole tree of processes, looked at once a second. Every process's resident pages summed (rss) counts
shared ones several times; pss (Linux only) shares them out, and is what the machine must have.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil  # comes with ipykernel

from kept import keep, markdown
from timing import heading

MIB = 2**20


def looked_at(tree: psutil.Process) -> tuple[float, float, int]:
    """Return (rss, pss, processes) of a process and all below it, in MiB; pss is 0 where the system has none."""
    rss = pss = found = 0
    try:
        processes = [tree, *tree.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0, 0.0, 0
    for process in processes:
        try:
            memory = process.memory_full_info() if sys.platform == "linux" else process.memory_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # it ended meanwhile
            continue
        rss, pss, found = rss + memory.rss, pss + getattr(memory, "pss", 0), found + 1
    return rss / MIB, pss / MIB, found


def watch(command: list[str], folder: Path, env: dict[str, str]) -> tuple[int, float, list[dict[str, float]]]:
    """Run a command; return its exit code, its wall seconds, and for each minute the most it took."""
    minutes: list[dict[str, float]] = []
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=env)
    try:
        tree = psutil.Process(process.pid)
        while True:
            rss, pss, found = looked_at(tree)
            minute = int((time.monotonic() - began) // 60)
            if len(minutes) <= minute:
                minutes.append({"minute": minute, "rss_mib": 0.0, "pss_mib": 0.0, "processes": 0})
            last = minutes[-1]
            last |= {"rss_mib": max(last["rss_mib"], rss), "pss_mib": max(last["pss_mib"], pss)}
            last["processes"] = max(last["processes"], found)
            try:
                return process.wait(timeout=1), time.monotonic() - began, minutes
            except subprocess.TimeoutExpired:
                pass
    finally:
        if process.poll() is None:  # stopped from outside: let it keep what it has, then end it
            process.terminate()
            process.wait()


def main() -> int:
    """Run, print, and keep if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--clone", type=Path, required=True)
    parser.add_argument("--keep", action="store_true", help="publish in evidence/benchmarks and in README.md")
    args, rest = parser.parse_known_args()
    if args.keep and rest:
        parser.error(f"--keep publishes the whole course; leave {' '.join(rest)} out")
    clone = args.clone.resolve()
    own = clone / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    env = os.environ if own.exists() else os.environ | {"PYTHONPATH": str(clone / "lib")}
    before = len(list(clone.glob("artefacts/*/*/manifest.json")))
    command = ["-m", "falsework", "run", "--preset", args.preset, *rest]
    heading(f"falsework {' '.join(command[2:])}, {before} networks trained before")
    code, wall, minutes = watch([str(own) if own.exists() else sys.executable, *command], clone, dict(env))
    peaks = {name: max(minute[name] for minute in minutes) for name in ("rss_mib", "pss_mib", "processes")}
    line = [args.preset, f"{wall / 60:.1f}", f"{peaks['pss_mib']:,.0f}", f"{peaks['rss_mib']:,.0f}"]
    line += [f"{peaks['processes']:.0f}", str(before)]
    head = ["preset", "minutes", "peak MiB (pss)", "peak MiB (rss)", "processes", "trained before"]
    print(markdown([head, line]))
    if code:
        print(f"falsework run ended with {code}: nothing is kept")
    elif args.keep:
        facts = {"wall_seconds": round(wall, 1), "trained_before": before, **{k: round(v) for k, v in peaks.items()}}
        keep(f"course_{args.preset}", minutes, [head, line], **facts)
    return code


if __name__ == "__main__":
    sys.exit(main())
