"""Wall seconds of `python -m falsework verdicts`, five runs, and that it never imports torch. Target: median below 2."""

from __future__ import annotations

import subprocess
import sys
import time

from timing import heading, interleave, report

COMMAND = (sys.executable, "-m", "falsework", "verdicts")
LOOK = "import sys; from falsework.cli import main; main(['verdicts']); sys.exit('torch' in sys.modules)"


def main() -> None:
    """Print the median; fail when torch was imported or a run failed."""
    heading("falsework verdicts")
    once = lambda: subprocess.run(COMMAND, check=True, stdout=subprocess.DEVNULL)  # noqa: E731
    report(interleave({"falsework verdicts": once}, rounds=5, clock=time.perf_counter))
    subprocess.run((sys.executable, "-c", LOOK), check=True, stdout=subprocess.DEVNULL)
    print("  torch was not imported")


if __name__ == "__main__":
    main()
