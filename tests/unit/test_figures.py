"""Figures: pictures stay pixels, words stand beside every picture, and the reader's own numbers are checked."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from falsework import figures
from falsework.core.errors import Refused
from falsework.figures import igpt, the_world, verdicts

GAME = {
    "game_picture": np.full((16, 16, 3), 200, np.uint8),
    "game_at": np.stack([np.arange(10), np.arange(10)], 1),
    "game_colours": np.arange(120, dtype=np.uint8).reshape(10, 4, 3),
    "game_truth": np.zeros(10, int),
    "game_model": np.full((10, 4), 0.25),
}


def test_a_sheet_keeps_every_pixel_as_a_square() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    page = figures.sheet(images, columns=3, times=2, gap=1)
    assert page.shape == (2 * 9 - 1, 3 * 9 - 1, 3)
    assert (page[:8:2, :8:2] == images[0]).all() and (page[1:8:2, 1:8:2] == images[0]).all()
    assert (page[9:17:2, 9:17:2] == images[4]).all() and (page[9:, 18:] == 255).all()


def test_a_picture_is_shown_with_its_words_and_unchanged_pixels() -> None:
    array = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    shown = figures.picture(array, 'a "quoted" <word>')
    assert 'alt="a &quot;quoted&quot; &lt;word>"' in shown._repr_html_()
    assert (np.asarray(Image.open(io.BytesIO(shown.png))) == array).all()
    assert repr(shown) == '[picture] a "quoted" <word>'


def test_four_equal_chances_cost_two_bits_a_pixel_and_certainty_costs_little() -> None:
    yours, model = igpt.game_bits(GAME, "1" * 10, 0.25)
    assert yours == pytest.approx(20.0) and model == pytest.approx(20.0)
    assert igpt.game_bits(GAME, "1" * 10, 0.99)[0] == pytest.approx(-10 * np.log2(0.99))
    assert igpt.game_bits(GAME, "2" * 10, 0.7)[0] == pytest.approx(-10 * np.log2(0.1))


@pytest.mark.parametrize(
    ("choices", "belief"), [("111", 0.7), ("1111111115", 0.7), ("1111111111", 1.0), ("1111111111", 0.1)]
)
def test_a_play_outside_the_rules_is_refused(choices: str, belief: float) -> None:
    with pytest.raises(Refused):
        igpt.game_bits(GAME, choices, belief)


def test_a_guess_of_the_middle_must_have_its_shape_and_range() -> None:
    sigmas = [0.25, *the_world.BLANK, 64.0]
    pictures, ink = np.zeros((5, 32, 32, 3), np.uint8), np.ones((3, 5))
    words = ["a", "b", "c"]
    assert "left blank" in the_world.melting(pictures, sigmas, words, ink).alt
    assert "your guess" in the_world.melting(pictures, sigmas, words, ink, np.full((3, 3), 0.5)).alt
    for wrong in (np.full((2, 3), 0.5), np.full((3, 3), 1.5)):
        with pytest.raises(Refused, match="3 x 3 numbers from 0 to 1"):
            the_world.melting(pictures, sigmas, words, ink, wrong)


def test_the_arch_counts_its_stones_in_words() -> None:
    shown = verdicts.arch({"C01": "supported", "C02": "refuted", "C03": "not judged", "C04": "not judged"}, {"C01"})
    assert "1 supported, 1 refuted, 2 not judged" in shown.alt


def test_the_dial_says_where_you_are() -> None:
    assert (
        "You are at 01" in figures.dial([("00", "the world", 13.0), ("01", "iGPT", 0.0), ("02", "x", None)], "01").alt
    )
