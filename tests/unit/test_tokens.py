"""Pixels and palette ids: the nearest colour, exactly, and white paper stays white."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from falsework.core.errors import Refused
from falsework.tokens import decode_pixels, encode_pixels, fit_palette

# few values, so that ties and doubles are common, beside all values
CHANNEL = st.one_of(st.sampled_from([0, 1, 2, 128, 254, 255]), st.integers(0, 255))


def pictures(most: int = 3, side: int = 4) -> st.SearchStrategy[np.ndarray]:
    return st.integers(0, most).flatmap(lambda n: hnp.arrays(np.uint8, (n, side, side, 3), elements=CHANNEL))


def palettes(unique: bool = False) -> st.SearchStrategy[np.ndarray]:
    colour = st.tuples(CHANNEL, CHANNEL, CHANNEL)
    return st.lists(colour, min_size=1, max_size=12, unique=unique).map(lambda c: np.array(c, np.uint8))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(pictures(), palettes())
def test_an_id_is_the_nearest_colour_by_squared_distance_and_ties_go_to_the_first(images, palette):
    ids = encode_pixels(images, palette)
    assert ids.dtype == np.uint16 and ids.shape == (len(images), 16)
    for pixel, found in zip(images.reshape(-1, 3).tolist(), ids.reshape(-1).tolist()):
        distances = [sum((a - b) ** 2 for a, b in zip(pixel, colour)) for colour in palette.tolist()]
        assert found == distances.index(min(distances))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data(), palettes(unique=True))
def test_encoding_what_was_decoded_gives_the_ids_back(data, palette):
    ids = data.draw(hnp.arrays(np.uint16, (2, 9), elements=st.integers(0, len(palette) - 1)))
    shown = decode_pixels(ids, palette, side=3)
    assert shown.shape == (2, 3, 3, 3) and shown.dtype == np.uint8
    np.testing.assert_array_equal(encode_pixels(shown, palette), ids)


def test_pixels_are_read_in_reading_order():
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, 0, 1] = (255, 0, 0)
    palette = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)
    assert encode_pixels(image, palette).tolist() == [[0, 1, 0, 0]]
    np.testing.assert_array_equal(decode_pixels([[0, 1, 0, 0]], palette, 2), image)


def test_many_pixels_at_once_are_encoded_as_one_by_one():
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(40, 16, 16, 3), dtype=np.uint8)  # more distinct colours than one block
    palette = rng.integers(256, size=(9, 3), dtype=np.uint8)
    assert len(np.unique(images.reshape(-1, 3), axis=0)) > 8192
    together = encode_pixels(images, palette)
    alone = np.concatenate([encode_pixels(images[i : i + 1], palette) for i in range(len(images))])
    np.testing.assert_array_equal(together, alone)


def paper(seed: int = 0) -> np.ndarray:
    """Pictures on white paper with many near-whites that would draw a mean away from it."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, size=(30, 8, 8, 3), dtype=np.uint8)
    images[:, :4] = rng.integers(235, 256, size=(30, 4, 8, 3), dtype=np.uint8)
    images[:, ::2] = 255
    return images


@pytest.mark.parametrize("colours", [2, 5, 32])
def test_white_paper_stays_white(colours):
    images = paper()
    palette = fit_palette(images, colours, seed=0)
    assert [255, 255, 255] in palette.tolist()
    shown = decode_pixels(encode_pixels(images, palette), palette, 8)
    white = (images == 255).all(-1)
    assert (shown[white] == 255).all()


@pytest.mark.parametrize("colours", [2, 7, 32])
def test_a_palette_is_made_of_true_colours_without_doubles_dark_to_light(colours):
    images = paper()
    palette = fit_palette(images, colours, seed=0)
    assert palette.dtype == np.uint8 and 2 <= len(palette) <= colours
    seen = {tuple(c) for c in images.reshape(-1, 3).tolist()}
    assert {tuple(c) for c in palette.tolist()} <= seen
    assert len(np.unique(palette, axis=0)) == len(palette)
    light = palette.astype(int) @ [299, 587, 114]
    assert (np.diff(light) >= 0).all()
    np.testing.assert_array_equal(palette, fit_palette(images, colours, seed=0))


def test_few_distinct_pixels_are_all_kept_and_cost_nothing():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[0, 0, 0], images[1, 2, 2] = (9, 9, 9), (255, 0, 0)
    palette = fit_palette(images, 16, seed=0)
    assert palette.tolist() == [[0, 0, 0], [9, 9, 9], [255, 0, 0]]
    np.testing.assert_array_equal(decode_pixels(encode_pixels(images, palette), palette, 4), images)


def test_more_colours_lose_less():
    images = paper()

    def loss(colours: int) -> float:
        palette = fit_palette(images, colours, seed=0)
        shown = decode_pixels(encode_pixels(images, palette), palette, 8)
        return float(((shown.astype(float) - images) ** 2).mean())

    assert loss(64) < loss(16) < loss(4)


@pytest.mark.parametrize("colours", [1, 0, -3])
def test_a_palette_of_fewer_than_two_colours_is_refused(colours):
    with pytest.raises(Refused, match=f"^The palette was asked for {colours} colours, but needs 2 or more.$"):
        fit_palette(paper(), colours, seed=0)
