"""Where the course lives on disk: one root with data/, evidence/, artefacts/ and runs/ under it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from falsework.core.errors import Refused


@cache
def root() -> Path:
    """Return the course's root folder.

    The parent of lib/ when the package is installed editable (the usual way); otherwise the first folder from the
    working directory upward that holds data/emoji.npz. Raises Refused when neither is there.
    """
    beside = Path(__file__).resolve().parents[3]
    for folder in (beside, Path.cwd(), *Path.cwd().parents):
        if (folder / "data" / "emoji.npz").is_file():
            return folder
    raise Refused(
        f"No course folder was found from {Path.cwd()} upward, but one with data/emoji.npz is needed: "
        "run inside a clone of falsework."
    )
