"""Photographs are read as they were written, in the real formats on disk; their splits share no picture; none is fetched."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import pickle
import sys
import types
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from falsework.core.dataset import Dataset
from falsework.core.errors import Refused
from falsework.core.rng import rng
from falsework.data.photographs import Photographs, load_photographs, to_square

PARTS = ("train", "val", "test")
COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250)}


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """Whatever reaches for the network fails the test."""

    def fail(*args, **kwargs):
        pytest.fail(f"reached for the network: {args}")

    import torchvision.datasets.utils as utils

    for target in ("urllib.request.urlopen", "urllib.request.urlretrieve", "socket.create_connection"):
        monkeypatch.setattr(target, fail)
    for name in ("download_url", "download_and_extract_archive", "_urlretrieve"):
        monkeypatch.setattr(utils, name, fail)
    for module in ("torchvision.datasets.cifar", "torchvision.datasets.mnist"):
        monkeypatch.setattr(f"{module}.download_and_extract_archive", fail)


def noise(count: int, side: int, *keys, channels: int = 3) -> np.ndarray:
    return rng("photographs", *keys).integers(256, size=(count, side, side, channels), dtype=np.uint8)


def png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG")


# ---- writers of the real formats


def write_cifar10(folder: Path, monkeypatch, train, train_labels, test, test_labels) -> None:
    """Two pickled batches as the makers pack them; torchvision is told their md5 instead of the real ones'."""
    from torchvision.datasets import CIFAR10

    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    batches = folder / "cifar-10-batches-py"
    batches.mkdir(parents=True)

    def dump(name, content):
        data = pickle.dumps(content, protocol=2)
        (batches / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    def batch(name, pixels, labels):
        rows = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)  # red plane, green plane, blue plane
        return [[name, dump(name, {"data": rows, "labels": list(labels), "batch_label": name})]]

    monkeypatch.setattr(CIFAR10, "train_list", batch("data_batch_1", train, train_labels))
    monkeypatch.setattr(CIFAR10, "test_list", batch("test_batch", test, test_labels))
    meta = {"filename": "batches.meta", "key": "label_names", "md5": dump("batches.meta", {"label_names": names})}
    monkeypatch.setattr(CIFAR10, "meta", meta)


def idx(path: Path, array: np.ndarray) -> None:
    """An idx-ubyte file: two zeros, type 8 (unsigned byte), the number of sizes, the sizes big-endian, the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes())


def write_fashion_mnist(folder: Path, train, train_labels, test, test_labels) -> None:
    for part, pixels, labels in (("train", train, train_labels), ("t10k", test, test_labels)):
        idx(folder / "FashionMNIST" / "raw" / f"{part}-images-idx3-ubyte", pixels)
        idx(folder / "FashionMNIST" / "raw" / f"{part}-labels-idx1-ubyte", np.array(labels, dtype=np.uint8))


def write_flickr8k(folder: Path, captions: dict[str, list[str]]) -> None:
    """The makers' page, a table of links and captions, and a 40 x 30 JPEG of one colour per entry."""
    rows = []
    for i, (name, texts) in enumerate(captions.items()):
        address = f"http://www.flickr.com/photos/someone/{100 + i}/"
        items = "".join(f"<li>{text} \n" for text in texts)
        rows.append(f'<tr><td><a href="{address}">{address}</a></td><td><ul>{items}</ul></td></tr>')
        path = folder / "Flicker8k_Dataset" / f"{100 + i}_0badc0de.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), COLOURS[name]).save(path, quality=95)
    rows.append("<tr><td>Image Not Found</td><td><ul><li>A lost picture .</ul></td></tr>")
    page = f"<html><body><h1>8k Pictures</h1><table border=1>{''.join(rows)}</table></body></html>"
    (folder / "8k-pictures.html").write_text(page)


def write_coco(folder: Path, year: str, pictures: dict[str, tuple[np.ndarray, list[str]]]) -> None:
    images, annotations = [], []
    for i, (name, (pixels, texts)) in enumerate(pictures.items()):
        png(folder / year / name, pixels)
        images.append({"id": 9 + i, "file_name": name, "height": pixels.shape[0], "width": pixels.shape[1]})
        annotations += [{"id": len(annotations) + j, "image_id": 9 + i, "caption": t} for j, t in enumerate(texts)]
    (folder / "annotations").mkdir(exist_ok=True)
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations}
    (folder / "annotations" / f"captions_{year}.json").write_text(json.dumps(content))


@pytest.fixture(params=["stand-in", "real"])
def pycocotools(request, monkeypatch):
    """The real package where it is installed; a stand-in of the four things torchvision asks of it everywhere."""
    if request.param == "real":
        return pytest.importorskip("pycocotools.coco")

    class COCO:
        def __init__(self, path):
            print("loading annotations into memory...")
            content = json.loads(Path(path).read_text())
            self.imgs = {image["id"]: image for image in content["images"]}
            self._anns = {a["id"]: a for a in content["annotations"]}

        def loadImgs(self, i):
            return [self.imgs[i]]

        def getAnnIds(self, i):
            return [k for k, a in self._anns.items() if a["image_id"] == i]

        def loadAnns(self, ids):
            return [self._anns[k] for k in ids]

    module = types.ModuleType("pycocotools.coco")
    module.COCO = COCO
    monkeypatch.setitem(sys.modules, "pycocotools", types.ModuleType("pycocotools"))
    monkeypatch.setitem(sys.modules, "pycocotools.coco", module)


def write_captions(folder: Path, rows: list[tuple[str, str]]) -> None:
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "caption"), *rows])


# ---- pictures and words come back as they were written


def everything(data: Photographs) -> np.ndarray:
    return np.arange(len(data))


def test_cifar10_comes_back_and_keeps_its_own_test_part(tmp_path, monkeypatch):
    train, test = noise(60, 32, "train"), noise(7, 32, "test")
    labels, test_labels = [i % 10 for i in range(60)], [9, 8, 7, 6, 5, 4, 3]
    write_cifar10(tmp_path, monkeypatch, train, labels, test, test_labels)
    data = load_photographs("cifar10", tmp_path)
    assert isinstance(data, Dataset) and data.name == "cifar10" and len(data) == 67
    assert data.levels == ("none", "label") and tuple(data.factors) == ("label",)
    np.testing.assert_array_equal(data.images(everything(data)), np.concatenate([train, test]))
    np.testing.assert_array_equal(data.labels(everything(data), "label"), labels + test_labels)
    np.testing.assert_array_equal(data.split("test"), np.arange(60, 67))
    np.testing.assert_array_equal(np.sort(np.concatenate([data.split(p) for p in PARTS])), everything(data))
    assert data.captions(np.array([0, 60]), "label") == ["airplane", "truck"]
    assert data.captions(np.array([0, 60]), "none") == ["", ""]


def test_cifar10_with_one_flipped_byte_is_refused(tmp_path, monkeypatch):
    write_cifar10(tmp_path, monkeypatch, noise(3, 32), [0, 1, 2], noise(1, 32, 1), [0])
    path = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    refused("cifar-10-batches-py/ with every batch intact", "cifar10", tmp_path)


@pytest.mark.parametrize("side", [28, 14])
def test_fashion_mnist_comes_back_in_three_equal_colours(tmp_path, side):
    train, test = noise(30, 28, "train", channels=1)[..., 0], noise(4, 28, "test", channels=1)[..., 0]
    write_fashion_mnist(tmp_path, train, [i % 10 for i in range(30)], test, [0, 9, 1, 1])
    data = load_photographs("fashion-mnist", tmp_path, side)
    grey = np.concatenate([train, test]).reshape(34, side, 28 // side, side, 28 // side).mean(axis=(2, 4))
    expected = np.repeat(np.floor(grey + 0.5)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(data.images(everything(data)), expected)
    np.testing.assert_array_equal(data.split("test"), [30, 31, 32, 33])
    assert data.captions(np.array([30, 31]), "label") == ["t shirt top", "ankle boot"]


def test_fashion_mnist_still_packed_or_cut_short_is_refused(tmp_path):
    pixels = noise(3, 28, channels=1)[..., 0]
    write_fashion_mnist(tmp_path, pixels, [0, 1, 2], pixels, [0, 1, 2])
    path = tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    refused("four idx-ubyte files, unpacked", "fashion-mnist", tmp_path)
    write_fashion_mnist(tmp_path, pixels, [0, 1], pixels, [0, 1, 2])  # a label too few
    refused("four idx-ubyte files, unpacked", "fashion-mnist", tmp_path)
    path.unlink()
    path.with_suffix(".gz").write_bytes(gzip.compress(whole))
    refused("four idx-ubyte files, unpacked", "fashion-mnist", tmp_path)


def test_flickr8k_gives_every_caption_of_a_picture(tmp_path):
    folder = tmp_path / "mine [2024]"  # brackets mean something to glob, but not here
    folder.mkdir()
    write_flickr8k(folder, {"red": ["A RED wall .", "It's red .", "Red !"], "blue": ["Blue sky &amp; sea ."]})
    data = load_photographs("flickr8k", folder, 16)
    assert isinstance(data, Dataset) and data.levels == ("none", "caption") and data.factors == {}
    assert data.captions(everything(data), "caption") == ["a red wall", "blue sky and sea"]
    assert data.captions(everything(data), "caption", which=2) == ["red", "blue sky and sea"]
    for picture, name in zip(data.images(everything(data)), ("red", "blue")):
        assert np.abs(picture.astype(int) - COLOURS[name]).max() <= 3  # JPEG loses a little


def test_flickr8k_with_a_missing_picture_is_refused(tmp_path):
    write_flickr8k(tmp_path, {"red": ["Red ."], "blue": ["Blue ."]})
    (tmp_path / "Flicker8k_Dataset" / "101_0badc0de.jpg").unlink()
    refused("each picture it names", "flickr8k", tmp_path)


def test_coco_gives_the_captions_of_each_picture_and_says_nothing(tmp_path, pycocotools, capsys):
    pixels = noise(3, 8)
    write_coco(tmp_path, "val2017", {"b.png": (pixels[0], ["A cat .", "One cat"]), "a.png": (pixels[1], ["Dogs"])})
    data = load_photographs("coco", tmp_path, 8)
    assert isinstance(data, Dataset) and data.levels == ("none", "caption")
    np.testing.assert_array_equal(data.images(everything(data)), pixels[:2])
    assert data.captions(everything(data), "caption", 0) == ["a cat", "dogs"]
    assert data.captions(everything(data), "caption", 1) == ["one cat", "dogs"]
    assert capsys.readouterr().out == ""
    (tmp_path / "val2017" / "b.png").write_bytes(b"no picture")
    refused("b.png is missing or broken", "coco", tmp_path)


def test_coco_with_both_years_tests_on_val2017(tmp_path, pycocotools):
    pixels = noise(40, 8)
    write_coco(tmp_path, "train2017", {f"{i}.png": (p, ["old"]) for i, p in enumerate(pixels)})
    write_coco(tmp_path, "val2017", {"x.png": (pixels[7], ["new"])})  # a training picture again
    data = load_photographs("coco", tmp_path, 8)
    assert data.captions(data.split("test"), "caption") == ["new"]
    assert set(data.split("train")) | set(data.split("val")) == set(range(40)) - {7}


def test_coco_without_pycocotools_says_how_to_get_it(tmp_path, monkeypatch):
    write_coco(tmp_path, "val2017", {"a.png": (noise(1, 8)[0], ["A cat"])})
    monkeypatch.setitem(sys.modules, "pycocotools", None)  # what Python itself sets to forbid an import
    monkeypatch.delitem(sys.modules, "pycocotools.coco", raising=False)
    refused("`pip install pycocotools`", "coco", tmp_path)


def test_a_folder_of_classes_comes_back(tmp_path):
    pixels = noise(5, 12)
    for name, p in zip(("Großes Haus/1.png", "Cat_s/2.png", "Cat_s/deep/3.PNG", "Cat_s/note.txt"), pixels):
        png(tmp_path / name, p)
    data = load_photographs("folder", str(tmp_path), 12)
    assert isinstance(data, Dataset) and data.levels == ("none", "label")
    assert data.factors == {"label": ("cat s", "groes haus")}
    np.testing.assert_array_equal(data.images(everything(data)), pixels[[1, 2, 0]])
    assert data.captions(everything(data), "label") == ["cat s", "cat s", "groes haus"]
    assert data.labels(everything(data), "label").tolist() == [0, 0, 1]


def test_a_flat_folder_comes_back_with_and_without_captions(tmp_path):
    pixels = noise(3, 12)
    for name, p in zip(("b.png", "a.png", "c.png"), pixels):
        png(tmp_path / name, p)
    data = load_photographs("folder", tmp_path, 12)
    assert data.levels == ("none",) and data.factors == {}
    np.testing.assert_array_equal(data.images(everything(data)), pixels[[1, 0, 2]])
    write_captions(tmp_path, [("b.png", "A Bee"), ("a.png", "An ant, alone"), ("b.png", "Bees"), ("c.png", "?!")])
    data = load_photographs("folder", tmp_path, 12)
    assert data.levels == ("none", "caption")
    assert data.captions(everything(data), "caption") == ["an ant alone", "a bee"]  # c has no word: left out
    assert data.captions(np.array([1, 0]), "caption", 1) == ["bees", "an ant alone"]
    np.testing.assert_array_equal(data.images(everything(data)), pixels[[1, 0]])


# ---- pixels


def test_each_pixel_is_the_mean_of_the_area_it_covers():
    row = np.array([0, 90, 240], dtype=np.uint8)
    picture = Image.fromarray(np.repeat(row[None], 3, axis=0))
    np.testing.assert_array_equal(to_square(picture, 2)[0, :, 0], [30, 190])  # 0 and half of 90; half of 90 and 240
    two = Image.fromarray(np.array([[0, 101], [0, 101]], dtype=np.uint8))
    np.testing.assert_array_equal(to_square(two, 3)[0, :, 0], [0, 51, 101])  # 50.5 is rounded up


@pytest.mark.parametrize(("square", "side"), [(7, 4), (9, 5), (12, 4), (4, 6), (5, 5)])
def test_the_mean_is_that_of_exact_fractions(square, side):
    pixels = noise(1, square, square, side)[0]
    share = [[max(0, min(Fraction((i + 1) * square, side), j + 1) - max(Fraction(i * square, side), j))
              for j in range(square)] for i in range(side)]  # fmt: skip
    for y, x, c in np.ndindex(side, side, 3):
        total = sum(share[y][v] * share[x][u] * int(pixels[v, u, c]) for v in range(square) for u in range(square))
        expected = total * Fraction(side, square) ** 2
        assert to_square(Image.fromarray(pixels), side)[y, x, c] == (2 * expected + 1) // 2


def test_a_fine_chequerboard_turns_grey():
    board = (np.indices((96, 96)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(to_square(Image.fromarray(board), 16).astype(int) - 127.5).max() <= 0.5


def test_the_central_square_is_kept():
    pixels = noise(1, 12)[0]
    np.testing.assert_array_equal(to_square(Image.fromarray(pixels[2:10]), 8), pixels[2:10, 2:10])
    np.testing.assert_array_equal(to_square(Image.fromarray(pixels[:, 2:10]), 8), pixels[2:10, 2:10])


def test_grey_rotated_and_transparent_files_are_seen_as_a_person_sees_them(tmp_path):
    pixels = noise(1, 8)[0]
    png(tmp_path / "1.png", pixels[..., 0])
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: to be shown a quarter turn clockwise
    Image.fromarray(pixels).save(tmp_path / "2.png", exif=turned)
    png(tmp_path / "3.png", np.dstack([pixels, np.repeat([[0, 255]], 8, axis=0).repeat(4, axis=1).astype(np.uint8)]))
    grey, upright, over_white = load_photographs("folder", tmp_path, 8).images(np.arange(3))
    np.testing.assert_array_equal(grey, np.repeat(pixels[..., :1], 3, axis=-1))
    np.testing.assert_array_equal(upright, np.rot90(pixels, -1))
    np.testing.assert_array_equal(over_white[:, 4:], pixels[:, 4:])
    assert (over_white[:, :4] == 255).all()


# ---- splits


def hashes(data: Photographs, part: str) -> set[bytes]:
    return {picture.tobytes() for picture in data.images(data.split(part))}


def test_copies_of_a_picture_are_on_one_side_and_a_tenth_is_held_out_twice(tmp_path):
    pixels = noise(500, 4)
    for i, p in enumerate(pixels):
        png(tmp_path / "all" / f"{i:03}.png", p)
    for i, p in enumerate(pixels[:100]):
        png(tmp_path / "copies" / f"{i}.png", p)
    data = load_photographs("folder", tmp_path, 4)
    assert sorted(i for part in PARTS for i in data.split(part)) == list(range(600))
    assert not any(hashes(data, a) & hashes(data, b) for a, b in (PARTS[:2], PARTS[1:], PARTS[::2]))
    for part in ("val", "test"):
        assert 25 <= len(hashes(data, part)) <= 75  # 50 of 500, within 3.7 standard deviations
        labels = data.labels(data.split(part), "label")
        assert len(set(labels)) == 2  # copies are there, beside their originals


def test_a_training_picture_that_is_also_tested_is_in_no_split(tmp_path, monkeypatch):
    train, test = noise(90, 32, "train"), noise(40, 32, "test")
    train[:40] = test  # so many that some would have been in "val"
    write_cifar10(tmp_path, monkeypatch, train, [0] * 90, test, [1] * 40)
    data = load_photographs("cifar10", tmp_path)
    assert data.split("test").tolist() == list(range(90, 130))
    assert set(data.split("train")) | set(data.split("val")) == set(range(40, 90))
    smaller = load_photographs("cifar10", tmp_path, 16)
    assert smaller.images(np.array([0])).shape == (1, 16, 16, 3)
    assert not hashes(smaller, "test") & (hashes(smaller, "train") | hashes(smaller, "val"))


def test_a_limit_takes_the_same_pictures_each_time_and_keeps_their_sides(tmp_path):
    for i, p in enumerate(noise(60, 4)):
        png(tmp_path / f"{i}.png", p)
    whole, few, fewer = (load_photographs("folder", tmp_path, 4, n) for n in (None, 40, 40))
    assert (len(whole), len(few), few.digest) == (60, 40, fewer.digest)
    assert few.digest != whole.digest
    assert hashes(few, "train") < hashes(whole, "train")


def test_an_empty_split_is_refused(tmp_path):
    png(tmp_path / "1.png", noise(1, 4)[0])
    data = load_photographs("folder", tmp_path, 4)
    empty = [name for name, index in data.splits.items() if not len(index)]
    assert len(empty) == 2
    with pytest.raises(Refused, match="of these 1 photographs is empty"):
        data.split(empty[0])


# ---- the digest


def test_the_digest_follows_pixels_labels_and_words_but_not_the_clock(tmp_path):
    pixels = noise(2, 8)
    for name, p in zip(("1.png", "2.png"), pixels):
        png(tmp_path / name, p)
    write_captions(tmp_path, [("1.png", "One"), ("2.png", "Two")])
    first = load_photographs("folder", tmp_path, 8)
    os.utime(tmp_path / "1.png", (1, 1))
    again = load_photographs("folder", tmp_path, 8)
    assert first.digest == again.digest
    assert first.captions(np.arange(2), "caption") == again.captions(np.arange(2), "caption")
    np.testing.assert_array_equal(first.images(np.arange(2)), again.images(np.arange(2)))
    assert {k: v.tolist() for k, v in first.splits.items()} == {k: v.tolist() for k, v in again.splits.items()}
    pixels[0, 3, 5, 1] ^= 1
    png(tmp_path / "1.png", pixels[0])
    digests = {first.digest, load_photographs("folder", tmp_path, 8).digest}
    write_captions(tmp_path, [("1.png", "One"), ("2.png", "Too")])
    digests.add(load_photographs("folder", tmp_path, 8).digest)
    (tmp_path / "captions.csv").unlink()
    digests.add(load_photographs("folder", tmp_path, 8).digest)
    assert len(digests) == 4


def test_the_digest_follows_a_label(tmp_path, monkeypatch):
    pixels = noise(2, 32)
    write_cifar10(tmp_path / "a", monkeypatch, pixels, [0, 1], pixels[:1], [0])
    a = load_photographs("cifar10", tmp_path / "a").digest
    write_cifar10(tmp_path / "b", monkeypatch, pixels, [0, 2], pixels[:1], [0])
    assert a != load_photographs("cifar10", tmp_path / "b").digest


# ---- errors are one sentence


def refused(match: str, *given) -> None:
    with pytest.raises(Refused) as caught:
        load_photographs(*given)
    text = str(caught.value)
    assert match in text and text.endswith((".", "?).")) and "\n" not in text and "download" not in text, text


def test_what_was_typed_wrongly_is_refused(tmp_path):
    refused("did you mean 'cifar10'?", "cifar", tmp_path)
    refused("nowhere is missing", "folder", tmp_path / "nowhere")
    for side in (3, 257, 32.0, True, "32"):
        refused("must be an integer from 4 to 256", "folder", tmp_path, side)
    for limit in (0, -1, 2.5):
        refused("must be an integer from 1", "folder", tmp_path, 32, limit)


@pytest.mark.parametrize("kind", ["cifar10", "fashion-mnist", "flickr8k", "coco", "folder"])
def test_an_empty_folder_is_refused_with_what_it_must_hold(tmp_path, kind):
    words = {"cifar10": "cifar-10-batches-py", "fashion-mnist": "FashionMNIST/raw", "flickr8k": "8k-pictures.html"}
    refused(words.get(kind, "captions"), kind, tmp_path)


def test_a_folder_that_cannot_be_meant_is_refused(tmp_path):
    (tmp_path / "note.txt").write_text("no picture")
    refused("but must hold pictures", "folder", tmp_path)
    (tmp_path / "cats").mkdir()
    refused("but must hold pictures", "folder", tmp_path)  # a class without pictures
    png(tmp_path / "cats" / "1.png", noise(1, 8)[0])
    png(tmp_path / "CATS!" / "2.png", noise(1, 8)[0])
    refused("must be different words", "folder", tmp_path)
    png(tmp_path / "3.png", noise(1, 8)[0])
    refused("pictures beside its sub-folders", "folder", tmp_path)
    (tmp_path / "captions.csv").write_text("name,text\n3.png,a picture\n")
    refused("columns file and caption", "folder", tmp_path)
    write_captions(tmp_path, [])
    refused("columns file and caption", "folder", tmp_path)
    write_captions(tmp_path, [("4.png", "a picture that is not there")])
    refused("4.png is missing or broken", "folder", tmp_path)


@pytest.mark.parametrize("keep", [0, 20, 60])
def test_a_broken_picture_is_named(tmp_path, keep):
    png(tmp_path / "good.png", noise(1, 8)[0])
    png(tmp_path / "torn.png", noise(1, 8)[0])
    (tmp_path / "torn.png").write_bytes((tmp_path / "torn.png").read_bytes()[:keep])
    refused("torn.png is missing or broken", "folder", tmp_path)


def test_sixteen_bits_of_grey_are_refused_not_cut_off(tmp_path):
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(tmp_path / "deep.png")
    refused("must be whole and of 8 bits a colour", "folder", tmp_path)


def test_what_the_set_does_not_have_is_refused(tmp_path):
    for i, p in enumerate(noise(3, 8)):
        png(tmp_path / f"{i}.png", p)
    data = load_photographs("folder", tmp_path, 8)
    for ask, words in (
        (lambda: data.captions(np.arange(3), "label"), "must be one of 'none'"),
        (lambda: data.labels(np.arange(3), "label"), "must be one of nothing"),
        (lambda: data.split("holdout"), "must be one of 'train', 'val', 'test'"),
        (lambda: data.images(np.array([3])), "must be within 0 to 2"),
        (lambda: data.images(np.array([-1])), "must be within 0 to 2"),
        (lambda: data.images(np.array([0.5])), "must be a list of integers"),
    ):
        with pytest.raises(Refused, match=words):
            ask()
    assert data.images(np.array([], dtype=np.int64)).shape == (0, 8, 8, 3)
