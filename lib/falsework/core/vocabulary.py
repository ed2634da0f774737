"""Words <-> ids, for every model that reads or writes captions. A word is what stands between two spaces.

Dimension key: N captions, T tokens, V words.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from falsework.core.errors import Refused

PAD, BEGIN, END = 0, 1, 2  # the first ids of every vocabulary
SIGNS = ("<pad>", "<begin>", "<end>")


@dataclass(frozen=True)
class Vocabulary:
    """Known words, and the longest caption in tokens, its end counted."""

    words: tuple[str, ...]
    length: int

    def __len__(self) -> int:
        return len(SIGNS) + len(self.words)

    @cached_property
    def ids(self) -> dict[str, int]:
        """word -> id."""
        return {word: k + len(SIGNS) for k, word in enumerate(self.words)}

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """Return int64 (N, T): words, END, then PAD; T is that of the longest of these captions.

        Raises Refused for a word that is not known, naming it and the nearest known one, and for a caption that is too
        long.
        """
        rows = []
        for caption in captions:
            said = caption.split()
            if len(said) >= self.length:
                raise Refused(
                    f"The caption has {len(said)} words, but at most {self.length - 1} fit: {caption[:60]!r}."
                )
            rows.append([self._id(word, caption) for word in said] + [END])
        out = np.full((len(rows), max(map(len, rows), default=1)), PAD, np.int64)
        for row, ids in zip(out, rows):
            row[: len(ids)] = ids
        return out

    def padded(self, captions: Sequence[str]) -> np.ndarray:
        """Return int64 (N, length): `encode`, filled up to the full length; "" is pads alone. Raises Refused as it does."""
        ids = np.full((len(captions), self.length), PAD, np.int64)
        spoken = [k for k, caption in enumerate(captions) if caption.strip()]
        if spoken:
            told = self.encode([captions[k] for k in spoken])
            ids[spoken, : told.shape[1]] = told
        return ids

    def _id(self, word: str, caption: str) -> int:
        found = self.ids.get(word)
        if found is None:
            near = difflib.get_close_matches(word, self.words, 1)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            raise Refused(
                f"The word {word!r} of {caption[:60]!r} is not among the {len(self.words)} known words{hint}."
            )
        return found

    def decode(self, ids_NT: np.ndarray) -> list[str]:
        """Return the captions of ids (N, T), each up to its first END."""
        out = []
        for row in np.asarray(ids_NT).tolist():
            row = row[: row.index(END)] if END in row else row
            out.append(" ".join(self.words[k - len(SIGNS)] for k in row if k >= len(SIGNS)))
        return out


def vocabulary_of(captions: Iterable[str]) -> Vocabulary:
    """Return the vocabulary of all words of these captions, sorted, as long as the longest of them."""
    known: set[str] = set()
    longest = 0
    for caption in captions:
        said = caption.split()
        known.update(said)
        longest = max(longest, len(said))
    return Vocabulary(tuple(sorted(known)), longest + 1)
