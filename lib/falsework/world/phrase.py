"""One pattern, two directions: facts -> sentence and sentence -> facts.

    "a [{size} ][{colour} ]{shape|thing}[ in the {position}]"

{factor|default}   always there: the value's word if it is said, else the default
[... {factor} ...] there only if its factor is said

Words of a factor are the names of its values. What is not said is not guessed: `parse` returns what the sentence states
and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from falsework.core.errors import Refused

_PIECE = re.compile(
    r"\[(?P<before>[^\[\]{}]*)\{(?P<option>\w+)\}(?P<after>[^\[\]{}]*)\]|\{(?P<factor>\w+)\|(?P<other>[^}]*)\}"
)


@dataclass(frozen=True)
class Phrase:
    """A pattern and the values of its factors: factor -> words. Raises Refused for a factor without values."""

    pattern: str
    values: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        missing = [f for f in self.factors if f not in self.values]
        if missing:
            raise Refused(f"The pattern names {missing[0]!r}, but has values for {', '.join(self.values)} only.")

    @cached_property
    def factors(self) -> tuple[str, ...]:
        """The factors in the order of the sentence."""
        return tuple(m["option"] or m["factor"] for m in _PIECE.finditer(self.pattern))

    def say(self, facts: Mapping[str, str]) -> str:
        """Return the sentence that states these factor -> value words and nothing else."""

        def fill(m: re.Match[str]) -> str:
            if m["factor"]:
                return facts.get(m["factor"], m["other"])
            return f"{m['before']}{facts[m['option']]}{m['after']}" if m["option"] in facts else ""

        return re.sub(r"\ba (?=[aeiou][a-z])", "an ", _PIECE.sub(fill, self.pattern))

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        out, at = [], 0
        for m in _PIECE.finditer(self.pattern):
            out.append(re.escape(self.pattern[at : m.start()]))
            factor = m["option"] or m["factor"]
            words = "|".join(map(re.escape, sorted(self.values[factor], key=len, reverse=True)))
            said = f"(?P<{factor}>{words})"
            if m["factor"]:
                out.append(f"(?:{said}|{re.escape(m['other'])})")
            else:
                out.append(f"(?:{re.escape(m['before'])}{said}{re.escape(m['after'])})?")
            at = m.end()
        return re.compile("".join(out) + re.escape(self.pattern[at:]))

    def parse(self, sentence: str) -> dict[str, str] | None:
        """Return the facts a sentence states, or None when it is not one of this pattern."""
        m = self._regex.fullmatch(re.sub(r"\ban (?=[aeiou][a-z])", "a ", sentence))
        return None if m is None else {f: word for f, word in m.groupdict().items() if word is not None}
