"""Real drawings with captions: 1,648 emoji concepts by six openly licensed sets of four vendors, at 32 x 32.

Dimension key: N pictures asked for, S side in pixels (32, 16 or 8), 9 cells (3 x 3, in reading order),
4 = red, green, blue, alpha (premultiplied), K = 21 palette colours.

The split is by family (the man, woman and person who cook are one family), never by picture, and is frozen in
the table:

    train, val, test      about 80/10/10 of the concepts; a family and all its styles are on one side
    style_concept         drawings of training concepts by one vendor each, kept out of "train": the concept
                          is seen in the styles of two other vendors or more, the style on other concepts
    vendor:X              the drawings of test concepts by vendor X
    P_without_vendor:X    the drawings of part P (train, val or test) by everybody but X: train on
                          train_without_vendor:X, then compare test_without_vendor:X (seen vendors) with
                          vendor:X (an unseen one)

Every word of a held-out name is said by the names or keywords of training concepts. By training names alone,
half of the held-out names are fully covered and a sixth have no known word (data/emoji.json says so):
train with keywords. Vendors, not styles, are held out: Fluent flat and 3D are one drawing, and Noto and Noto
blob share designs.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import unicodedata
import zipfile
import zlib
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from falsework.core.dataset import Index, checked, digest_arrays
from falsework.core.errors import Refused, one_of
from falsework.core.paths import root
from falsework.core.rng import rng
from falsework.data.drawing import CELL_AREA, colour_counts, composite, flat_colours, resize
from falsework.data.palette import BACKGROUNDS, COLOURS, RGB, nearest_colour

STYLES = ("twemoji", "noto", "notoblob", "fluentflat", "fluent3d", "emojitwo")
STYLE_WORDS = ("twemoji", "noto", "noto blob", "fluent flat", "fluent 3d", "emojitwo")
VENDORS = ("twemoji", "noto", "fluent", "emojitwo")
VENDOR_OF_STYLE = np.array([0, 1, 1, 2, 2, 3])
PARTS = ("train", "val", "test")
CELLS = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
COVER = ("small", "medium", "large")  # drawn share of the square: under .45, under .65, more
SYMMETRY = ("mirrored", "lopsided")  # mean difference from its own mirror image: up to 12 of 255, more
ARRAYS = ("images", "concept", "style")
NAME_DEPTH, STYLE_DEPTH, CELLS_DEPTH = 2, 4, 5  # positions in `Emoji.levels`


def words_of(text: str) -> str:
    """Return lower-case words of a-z and 0-9 with single spaces: accents dropped, apostrophes closed up."""
    for sign, spelled in (("#", " hash "), ("*", " asterisk "), ("&", " and "), ("’", ""), ("'", "")):
        text = text.replace(sign, spelled)
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return " ".join(re.findall(r"[a-z0-9]+", plain))


class Emoji:
    """The packed drawings behind the `Dataset` protocol; get them with `load_emoji()`.

    Captions are words of a-z and 0-9 with single spaces and no other signs. The levels:
    none < group < name < keywords (name first) < style (+ style, background if given, up to two main colours)
    < cells (+ the main colour of each of 3 x 3 cells of the composited picture, background included).
    """

    name = "emoji"
    levels = ("none", "group", "name", "keywords", "style", "cells")

    def __init__(self, arrays: dict[str, np.ndarray], table: list[dict[str, str]], digest: str):
        self.digest = digest
        self.table = table  # one row per concept, with the columns of emoji_concepts.csv.gz
        self._rgba, self._style = arrays["images"], arrays["style"].astype(np.int64)
        self._concept = arrays["concept"].astype(np.int64)
        self._names = [words_of(row["name"]) for row in table]
        self._said = [" ".join([words_of(row["name"]), *row["keywords"].split()]) for row in table]
        self._groups = [words_of(row["group"]) for row in table]
        self.factors: dict[str, tuple[str, ...]] = {
            "group": tuple(dict.fromkeys(self._groups)),
            "subgroup": tuple(dict.fromkeys(row["subgroup"] for row in table)),
            "concept": tuple(self._names),
            "style": STYLES,
            "vendor": VENDORS,
            "colour": COLOURS,
            "cover": COVER,
            "symmetry": SYMMETRY,
        }

    def __len__(self) -> int:
        return len(self._rgba)

    # ---- pictures

    def rgba(self, index: Index, size: int = 32) -> np.ndarray:
        """Return uint8 (N, S, S, 4), premultiplied: over a colour b the picture is rgb + b (1 - a / 255)."""
        return resize(self._rgba[checked(index, len(self))], size)

    def images(self, index: Index, size: int = 32, background: np.ndarray | None = None) -> np.ndarray:
        """Return uint8 (N, S, S, 3): the drawings composited over a flat colour, white if none is given.

        size: 32, or 16 or 8 by the mean of squares. background: uint8 (3,) or (N, 3), values 0..255.
        Raises Refused for another size, picture numbers out of range or a background of another shape.
        """
        rgba = self._rgba[checked(index, len(self))]
        return resize(composite(rgba, flat_colours(background, len(rgba))), size)

    def backgrounds(self, index: Index, *keys: object) -> np.ndarray:
        """Return uint8 (N, 3): one of the 12 `palette.BACKGROUNDS` each, drawn from `rng(*keys)`."""
        chosen = rng(*keys).integers(len(BACKGROUNDS), size=len(checked(index, len(self))))
        return np.stack([RGB[COLOURS.index(b)] for b in BACKGROUNDS])[chosen]

    # ---- words

    def captions(self, index: Index, level: str, background: np.ndarray | None = None) -> list[str]:
        """Return N captions of one level. background: as for `images`; then "style" and "cells" name it.

        Raises Refused for an unknown level, picture numbers out of range or a background of another shape.
        """
        depth = self.levels.index(one_of("The caption level", level, self.levels))
        index = checked(index, len(self))
        flat = nearest_colour(flat_colours(background, len(index)))
        concepts = self._concept[index]
        if depth <= NAME_DEPTH:
            texts = ([""] * len(self.table), self._groups, self._names)[depth]
            return [texts[c] for c in concepts]
        parts = [[self._said[c] for c in concepts]]
        if depth >= STYLE_DEPTH:
            parts.append([f"in {STYLE_WORDS[s]} style" for s in self._style[index]])
            if background is not None:
                parts.append([f"on {COLOURS[b]}" for b in flat])
            parts.append([self._main_colours[i] for i in index])
        if depth >= CELLS_DEPTH:
            parts.append(self._cell_words(index, flat))
        return [" ".join(words) for words in zip(*parts)]

    def _cell_words(self, index: Index, flat: np.ndarray) -> list[str]:
        """Return the main colour of each cell in words; flat (N,): the background's position in `COLOURS`."""
        counts = self._counts[index].astype(np.int64)
        counts[np.arange(len(index)), :, flat] += CELL_AREA - counts.sum(axis=2)
        main = counts.argmax(axis=2).tolist()
        return [" ".join(f"{cell} {COLOURS[k]}" for cell, k in zip(CELLS, row)) for row in main]

    @cached_property
    def _counts(self) -> np.ndarray:
        return colour_counts(self._rgba)

    @cached_property
    def _main_colours(self) -> list[str]:
        totals = self._counts.sum(axis=1, dtype=np.int64)  # (all, K)
        order = np.argsort(-totals, axis=1, kind="stable")[:, :2]
        second = np.take_along_axis(totals, order[:, 1:], axis=1)[:, 0] >= 0.2 * totals.sum(axis=1)
        return [
            f"mostly {COLOURS[a]} and {COLOURS[b]}" if two else f"mostly {COLOURS[a]}"
            for (a, b), two in zip(order.tolist(), second)
        ]

    def caption_entropy(self, level: str) -> float:
        """Return H(caption) in bits for a drawing taken at random: log2 N less what captions that coincide hide."""
        _, counts = np.unique(self.captions(np.arange(len(self)), level), return_counts=True)
        return float(np.log2(len(self)) - (counts * np.log2(counts)).sum() / len(self))

    def find(self, name: str, style: str) -> int:
        """Return the picture number of a concept, by its name, in a style; raises Refused when nobody drew it."""
        one_of("the style", style, STYLES)
        concept = self.factors["concept"].index(one_of("the name of a drawing", name, self.factors["concept"]))
        found = np.flatnonzero((self._concept == concept) & (self._style == STYLES.index(style)))
        if not len(found):
            raise Refused(f"The set {style!r} has no drawing of {name!r}, but other sets do.")
        return int(found[0])

    def said(self, words: str, among: Index) -> np.ndarray:
        """Return those picture numbers of `among` whose "style" caption or group contains the words, in sequence."""
        among = np.asarray(among)
        texts = zip(self.captions(among, "group"), self.captions(among, "style"))
        return among[[f" {words} " in f" {group} " or f" {words} " in f" {text} " for group, text in texts]]

    # ---- labels and splits

    def labels(self, index: Index, factor: str) -> np.ndarray:
        """Return int64 (N,): positions in `factors[factor]`.

        colour, cover and symmetry are measured on the pixels; no caption names cover and symmetry.
        Raises Refused for an unknown factor.
        """
        one_of("The factor", factor, self.factors)
        return self._labels[factor][checked(index, len(self))]

    @cached_property
    def _labels(self) -> dict[str, np.ndarray]:
        groups = [self.factors["group"].index(g) for g in self._groups]
        subgroups = [self.factors["subgroup"].index(row["subgroup"]) for row in self.table]
        drawn = (self._rgba[..., 3] >= 128).mean(axis=(1, 2))
        left = self._rgba.astype(np.int16)
        lopsided = np.abs(left - left[:, :, ::-1]).mean(axis=(1, 2, 3)) > 12
        return {
            "group": np.array(groups)[self._concept],
            "subgroup": np.array(subgroups)[self._concept],
            "concept": self._concept,
            "style": self._style,
            "vendor": VENDOR_OF_STYLE[self._style],
            "colour": self._counts.sum(axis=1, dtype=np.int64).argmax(axis=1),
            "cover": np.digitize(drawn, [0.45, 0.65]),
            "symmetry": lopsided.astype(np.int64),
        }

    @cached_property
    def splits(self) -> dict[str, Index]:
        """All splits by name: sorted picture numbers, int64. The file's opening says what each name means."""
        part = np.array([PARTS.index(row["split"]) for row in self.table])[self._concept]
        held = [VENDORS.index(row["held_out_vendor"]) if row["held_out_vendor"] else -1 for row in self.table]
        vendor = VENDOR_OF_STYLE[self._style]
        kept_out = np.array(held)[self._concept] == vendor
        masks = {"style_concept": kept_out}
        for p, side in enumerate(PARTS):
            masks[side] = (part == p) & ~kept_out
        for v, maker in enumerate(VENDORS):
            masks[f"vendor:{maker}"] = masks["test"] & (vendor == v)
            for side in PARTS:
                masks[f"{side}_without_vendor:{maker}"] = masks[side] & (vendor != v)
        return {name: np.flatnonzero(mask) for name, mask in masks.items()}

    def split(self, name: str) -> Index:
        """Return the picture numbers, int64, sorted; the file's opening says what each name means.

        Raises Refused for a name that is not in `splits`.
        """
        return self.splits[one_of("The split", name, self.splits)].copy()


@cache
def load_emoji(folder: Path | None = None) -> Emoji:
    """Return the drawings, read once and checked against emoji.json; `folder` defaults to the course's data/.

    Raises Refused when a file is missing, truncated, or not the one that emoji.json describes.
    """
    folder = folder or root() / "data"
    restore = "restore it with `git checkout -- data`"
    try:
        facts = dict(json.loads((folder / "emoji.json").read_text(encoding="utf-8")))
        with np.load(folder / "emoji.npz", allow_pickle=False) as packed:
            arrays = {name: packed[name] for name in ARRAYS}
        table = gzip.decompress((folder / "emoji_concepts.csv.gz").read_bytes())
    except FileNotFoundError as fault:
        raise Refused(f"{fault.filename} is missing, but the drawings need it: {restore}.") from fault
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as fault:
        raise Refused(f"A file of the drawings in {folder} is damaged ({fault}): {restore}.") from fault
    parts = {**arrays, "table": np.frombuffer(table, dtype=np.uint8)}
    digest = digest_arrays(*parts.values())
    if digest != facts.get("digest"):
        stated = facts.get("digests", {})
        wrong = [name for name, array in parts.items() if digest_arrays(array) != stated.get(name)]
        raise Refused(f"The drawings in {folder} were edited ({', '.join(wrong) or 'the digest'} differ): {restore}.")
    return Emoji(arrays, list(csv.DictReader(io.StringIO(table.decode("utf-8")))), digest)
