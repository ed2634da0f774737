"""Photographs, for those who have them: four public sets or a folder of your own, as small captioned squares.

Dimension key: M pictures in the set, N pictures asked for, S side in pixels, 3 = red, green, blue.

Nothing is ever downloaded. torchvision's own classes read what lies in a folder, by these names:

    cifar10         cifar-10-batches-py/ with its pickled batches
    fashion-mnist   FashionMNIST/raw/ with the four idx-ubyte files, unpacked
    flickr8k        Flicker8k_Dataset/ (sic) with the pictures, and 8k-pictures.html with the captions
    coco            train2017/, val2017/ or both, each with its annotations/captions_train2017.json (or val2017)
    folder          one sub-folder of pictures per class; or pictures side by side; or captions.csv with the columns
                    file (its place in the folder) and caption: then the pictures it lists, a row per caption

Pictures are cut to their central square; each new pixel is the mean of the area it covers, rounded half up, by
whole-number arithmetic: the same on every machine. Grey becomes RGB; in files of your own, a camera's rotation is
followed and what is transparent lies over white. Pictures without a caption, in a set with captions, are left out.

Splits go by the sha256 of the S x S pixels, so equal pictures share a side: a tenth is "val", a tenth "test", the
rest "train". A set with a test part of its own (cifar10, fashion-mnist, coco with both years' parts: val2017) keeps
it as "test", and whatever else has the pixels of a test picture is in no split. Another S is another split.
"""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import io
import json
import pickle
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from falsework.core.dataset import Index, checked, digest_arrays
from falsework.core.errors import Refused, one_of
from falsework.core.rng import rng
from falsework.data.emoji import words_of

SIDES = (4, 256)  # smallest and largest S
FAULTS = (AssertionError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError)


class Photographs:
    """Photographs behind the `Dataset` protocol; get them with `load_photographs(kind, folder)`.

    levels: "none", then "label" if the set has classes, then "caption" if it has captions. Labels and captions are
    words of a-z and 0-9 with single spaces. The factor "label" is there if the set has classes.
    """

    def __init__(
        self,
        name: str,
        images: np.ndarray,
        own_test: np.ndarray | None = None,
        classes: Sequence[str] = (),
        labels: np.ndarray | None = None,
        captions: list[list[str]] | None = None,
    ):
        """images: uint8 (M, S, S, 3); own_test: bool (M,); labels: int64 (M,); captions: M lists, none empty."""
        self.name = name
        self._images, self._own_test, self._captions = images, own_test, captions
        self._labels = np.empty(0, dtype=np.int64) if labels is None else labels
        self.factors: dict[str, tuple[str, ...]] = {"label": tuple(classes)} if classes else {}
        self.levels: tuple[str, ...] = ("none", *self.factors, *(["caption"] if captions else []))
        words = np.frombuffer(json.dumps([self.levels, self.factors, captions]).encode(), dtype=np.uint8)
        tested = np.empty(0, dtype=bool) if own_test is None else own_test
        self.digest = digest_arrays(images, tested, self._labels, words)

    def __len__(self) -> int:
        return len(self._images)

    def images(self, index: Index) -> np.ndarray:
        """Return uint8 (N, S, S, 3), values 0..255; raises Refused for picture numbers out of range."""
        return self._images[checked(index, len(self))]

    def captions(self, index: Index, level: str, which: int = 0) -> list[str]:
        """Return N captions of one level; "none" gives empty strings.

        which: of several captions of a picture the first (0), the second (1) ...; after its last comes its first.
        Raises Refused for a level that the set does not have or picture numbers out of range.
        """
        one_of("The caption level", level, self.levels)
        index = checked(index, len(self))
        if level == "label":
            return [self.factors["label"][k] for k in self._labels[index]]
        if level == "caption" and self._captions:
            given = [self._captions[i] for i in index]
            return [several[which % len(several)] for several in given]
        return [""] * len(index)

    def labels(self, index: Index, factor: str) -> np.ndarray:
        """Return int64 (N,): positions in `factors[factor]`; raises Refused for a factor that the set does not have."""
        one_of("The factor", factor, self.factors)
        return self._labels[checked(index, len(self))]

    @cached_property
    def splits(self) -> dict[str, Index]:
        """The splits "train", "val" and "test": sorted picture numbers, int64; one may be empty in a tiny set."""
        hashes = [hashlib.sha256(picture.tobytes()).digest() for picture in self._images]
        share = np.array([int.from_bytes(h[:8], "big") / 2**64 for h in hashes])  # uniform on 0..1
        own = np.zeros(len(self), dtype=bool) if self._own_test is None else self._own_test
        tested = {h for h, is_test in zip(hashes, own) if is_test}
        known = np.array([h in tested for h in hashes], dtype=bool)  # the own test pictures and their copies elsewhere
        test = own if self._own_test is not None else (share >= 0.1) & (share < 0.2)
        val = (share < 0.1) & ~known
        masks = {"train": ~(test | val | known), "val": val, "test": test}
        return {name: np.flatnonzero(mask) for name, mask in masks.items()}

    def split(self, name: str) -> Index:
        """Return the picture numbers of "train", "val" or "test", int64, sorted.

        Raises Refused for another name, and for a split that is empty because the set is tiny.
        """
        found = self.splits[one_of("The split", name, self.splits)]
        if not len(found):
            raise Refused(f"The split {name!r} of these {len(self)} photographs is empty, but must not be: add some.")
        return found.copy()


# ---- pixels


def _open(path: str | Path) -> Image.Image:
    """Return the picture of a file in RGB, upright, over white; raises Refused with its name if it is broken."""
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode[0] in "IF":
                raise ValueError("more than 8 bits a pixel: Pillow would cut them off, not scale them")
            if picture.has_transparency_data:
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture.convert("RGBA"))
            return picture.convert("RGB")
    except Exception as fault:  # a decoder may raise anything
        raise Refused(f"The picture {path} is missing or broken, but must be whole and of 8 bits a colour.") from fault


@lru_cache(maxsize=16)
def _overlaps(square: int, side: int) -> np.ndarray:
    """Return float32 (side, square): the length each old pixel shares with each new one; rows sum to `square`."""
    new, old = np.arange(side)[:, None] * square, np.arange(square) * side
    return np.maximum(np.minimum(new + square, old + side) - np.maximum(new, old), 0).astype(np.float32)


def to_square(picture: Image.Image, side: int) -> np.ndarray:
    """Return uint8 (side, side, 3): the central square of a picture, each pixel the mean of the area it covers."""
    pixels = np.asarray(picture.convert("RGB"))
    height, width = pixels.shape[:2]
    square = min(height, width)
    top, left = (height - square) // 2, (width - square) // 2
    pixels = pixels[top : top + square, left : left + square]
    if square == side:
        return pixels
    weights = _overlaps(square, side)
    # whole numbers below 2^24, then below 2^53: floats hold them exactly, in whatever order they are summed
    rows = (weights @ pixels.reshape(square, -1).astype(np.float32)).astype(np.float64)
    total = (weights @ rows.reshape(side, square, 3)).astype(np.int64)
    return ((2 * total + square * square) // (2 * square * square)).astype(np.uint8)


# ---- files

Parts = list[tuple[Any, bool]]  # items (picture, class number, captions or None); whether they are the set's own test
KINDS = {
    "cifar10": "cifar-10-batches-py/ with every batch intact",
    "fashion-mnist": "FashionMNIST/raw/ with the four idx-ubyte files, unpacked",
    "flickr8k": "8k-pictures.html and each picture it names in Flicker8k_Dataset/",
    "coco": "train2017/ or val2017/, and annotations/captions_train2017.json or captions_val2017.json",
    "folder": "pictures, pictures in each of its sub-folders, or captions.csv with the columns file and caption",
}


class _Listed:
    """Files with their captions, if any, as torchvision would list them."""

    def __init__(self, captions: dict[Path, list[str] | None]):
        self.items = sorted(captions.items(), key=lambda item: item[0].as_posix())  # plain paths sort by system

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> tuple[Image.Image, list[str] | None]:
        return _open(self.items[i][0]), self.items[i][1]


def _parts(kind: str, folder: Path) -> Parts:
    """Return what lies in the folder; raises one of FAULTS for what torchvision does not find or understand."""
    from torchvision import datasets  # here: the module itself is imported without torch

    own_test = {"cifar10": datasets.CIFAR10, "fashion-mnist": datasets.FashionMNIST}
    if kind in own_test:
        return [(own_test[kind](folder, train=train, download=False), not train) for train in (True, False)]
    if kind == "flickr8k":
        pictures = glob.escape(str(folder / "Flicker8k_Dataset"))  # the class globs there
        return [(datasets.Flickr8k(pictures, str(folder / "8k-pictures.html"), loader=_open), False)]
    if kind == "coco":
        return _coco_parts(folder)
    if (folder / "captions.csv").is_file():
        captions: dict[Path, Any] = {}
        with (folder / "captions.csv").open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                captions.setdefault(folder / row["file"], []).append(row["caption"] or "")
        return [(_Listed(captions), False)]
    loose = [path for path in folder.iterdir() if datasets.folder.is_image_file(path.name)]
    if not any(path.is_dir() for path in folder.iterdir()):
        return [(_Listed(dict.fromkeys(loose)), False)]
    if loose:
        raise Refused(f"The folder {folder} has pictures beside its sub-folders, but must have one or the other.")
    return [(datasets.ImageFolder(folder, loader=_open), False)]


def _coco_parts(folder: Path) -> Parts:
    from torchvision.datasets import CocoCaptions

    class Captions(CocoCaptions):
        def _load_image(self, id: int) -> Image.Image:  # the class takes no loader
            return _open(Path(self.root) / self.coco.loadImgs(id)[0]["file_name"])

    tables = {year: folder / "annotations" / f"captions_{year}.json" for year in ("train2017", "val2017")}
    years = [year for year, table in tables.items() if table.is_file() and (folder / year).is_dir()]
    own_test = [year == "val2017" and len(years) > 1 for year in years]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools talks
            return [(Captions(folder / year, str(tables[year])), own) for year, own in zip(years, own_test)]
    except ModuleNotFoundError as fault:
        raise Refused("Captions of coco need pycocotools, which is missing: `pip install pycocotools`.") from fault


def load_photographs(kind: str, folder: str | Path, side: int = 32, limit: int | None = None) -> Photographs:
    """Return the photographs in `folder`, side x side pixels each, all of them in memory (3 side^2 bytes each).

    kind: "cifar10", "fashion-mnist", "flickr8k", "coco" or "folder"; the file's opening says what must lie where.
    side: 4..256. limit: at most so many pictures, picked by chance but the same ones every time.
    Raises Refused for another kind, side or limit, for files that are missing or broken (a broken picture is named),
    and for coco without pycocotools.
    """
    needed = KINDS[one_of("The kind of photographs", kind, KINDS)]
    folder = Path(folder).expanduser()
    if type(side) is not int or not SIDES[0] <= side <= SIDES[1]:
        raise Refused(f"The side is {side!r}, but must be an integer from {SIDES[0]} to {SIDES[1]}.")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise Refused(f"The limit is {limit!r}, but must be an integer from 1, or None.")
    if not folder.is_dir():
        raise Refused(f"The folder {folder} is missing, but must be there and hold {needed}.")
    try:
        return _collect(kind, _parts(kind, folder), side, limit)
    except Refused:
        raise
    except FAULTS as fault:
        raise Refused(f"The folder {folder} holds no complete {kind!r}, but must hold {needed}.") from fault


def _collect(kind: str, parts: Parts, side: int, limit: int | None) -> Photographs:
    """Return the pictures of all parts in one array; raises LookupError if there are none."""
    places = [(part, i, is_test) for part, is_test in parts for i in range(len(part))]
    taken = np.sort(rng("photographs", "limit").permutation(len(places))[:limit])
    images = np.empty((len(taken), side, side, 3), dtype=np.uint8)
    own_test: list[bool] = []
    labels, captions = [], []
    for part, i, is_test in (places[k] for k in taken):
        picture, target = part[i]
        if isinstance(target, list):
            target = [words for text in target if (words := words_of(text))]
            if not target:
                continue
            captions.append(target)
        elif target is not None:
            labels.append(target)
        images[len(own_test)] = to_square(picture, side)
        own_test.append(is_test)
    if not own_test:
        raise LookupError("no pictures")
    classes = [words_of(name) for name in getattr(parts[0][0], "classes", ())]
    if len(set(classes)) < len(classes) or "" in classes:
        raise Refused(f"The classes read {classes}, but must be different words of a-z and 0-9.")
    own = np.array(own_test) if any(is_test for _, is_test in parts) else None
    given = np.array(labels, dtype=np.int64) if labels else None
    return Photographs(kind, images[: len(own_test)], own, classes, given, captions or None)
