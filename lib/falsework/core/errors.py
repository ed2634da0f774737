"""One kind of error for everything a person typed or a disk did: one sentence, what was given, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Refused(ValueError):
    """Raised for bad input or a fault outside the code; its message is one sentence for a human reader."""


def one_of(what: str, given: object, allowed: Iterable[str]) -> str:
    """Return `given` if it is one of `allowed`; otherwise raise `Refused` naming the choices and the nearest one."""
    choices = list(allowed)
    if isinstance(given, str) and given in choices:
        return given
    near = difflib.get_close_matches(str(given), choices, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise Refused(f"{what} is {given!r}, but must be one of {', '.join(map(repr, choices)) or 'nothing'}{hint}.")
