"""Figures of 02_dalle1: the words say the numbers, one seed is enough, yours is a star, and nothing is left out unsaid."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from falsework.core.errors import Refused
from falsework.figures import Figure, dalle, short_number

Rows = list[dict[str, object]]
FACTORS = {"background": 0.9, "colour": 0.5, "style": 0.1}  # factor -> what is known of it at the smallest size
SIZES = (10_000, 40_000, 160_000)
DOSES = {"alone": ("single", 0.0), "dalle": ("collages", 0.02), "taught": ("taught", 0.3)}
DICE = np.random.default_rng(0)
ONE = DICE.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
CAPTIONS = ("a red heart in the middle on a night background", "a blue star at the left lit from the right", "a sign")


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def table(rows: Rows, yours: bool) -> pd.DataFrame:
    """Return rows as published; with yours, the same a little lower as seed 9."""
    mine: Rows = [{**row, "source": "yours", "seed": 9, "value": float(str(row["value"])) * 0.9} for row in rows]
    return pd.DataFrame([{"source": "published", **row} for row in rows] + (mine if yours else []))


def sizes(yours: bool = False) -> pd.DataFrame:
    rows: Rows = []
    for k, size in enumerate(SIZES):
        for seed in (0, 1) if k == 2 else (1,):
            at: dict[str, object] = {"arm": "dalle", "seed": seed, "size": size}
            rows.append({**at, "metric": "bits_per_image", "value": 300 - 50 * k})
            for place, (factor, share) in enumerate([*FACTORS.items(), ("text", 0.0)]):
                known = min(1.0, share + 0.1 * k * (factor != "style") + 0.3 * k * (factor == "style"))
                rows.append({**at, "metric": "range_share", "factor": factor, "value": known})
                rows.append({**at, "metric": "accuracy", "factor": factor, "value": known, "chance": 1 / 32})
                rows.append({**at, "metric": "log2_posterior", "factor": factor, "value": k - 4.0})
                if factor != "text":
                    rows.append({**at, "metric": "pixel_energy", "factor": factor, "value": 10.0 ** (3 - place)})
            rows.append({**at, "metric": "exact_match", "value": (0.3 * k) ** 2})
            rows.append({**at, "metric": "letters_right", "value": 0.3 * k})
    for place, factor in enumerate(FACTORS):
        faint: dict[str, object] = {"arm": "faint", "seed": 1, "size": 41_000, "factor": factor}
        rows.append({**faint, "metric": "range_share", "value": 0.2 + 0.1 * place})
        rows.append({**faint, "metric": "pixel_energy", "value": 10.0 ** (3 - 2 * (factor == "colour"))})
    return table(rows, yours)


def drawings(yours: bool = False) -> pd.DataFrame:
    rows: Rows = []
    for factor, share in FACTORS.items():
        at: dict[str, object] = {"factor": factor, "seed": 0}
        for arm, value in (("dalle", share), ("shuffled", 0.2), ("rebuilt", 0.95), ("real", 1.0)):
            rows.append({**at, "metric": "accuracy", "arm": arm, "best_of": 1, "value": value})
        rows.append({**at, "metric": "accuracy", "arm": "chance", "value": 0.25})
        for k in (1, 2, 4, 8):
            rows.append({**at, "metric": "accuracy_of_best", "arm": "dalle", "best_of": k, "value": share + 0.01 * k})
    return table(rows, yours)


def flops(yours: bool = False) -> pd.DataFrame:
    rows: Rows = [
        {
            "metric": "range_share",
            "arm": arm,
            "seed": 1,
            "factor": f,
            "flops": cost * 1e12,
            "value": v * (0.5 + cost / 40),
        }
        for arm, costs in (("tokens", (5, 10, 20)), ("pixels", (7, 20)))
        for cost in costs
        for f, v in FACTORS.items()
    ]
    return table(rows, yours)


def information(yours: bool = False) -> pd.DataFrame:
    rows: Rows = [
        {"metric": "bits_per_image", "arm": "dalle", "seed": seed, "told": told, "value": bits + seed}
        for seed in (0, 1)
        for told, bits in (("none", 200.0), ("ultra", 190.0), ("shuffled", 204.0))
    ]
    rows.append({"metric": "caption_bits", "arm": "dalle", "seed": 0, "value": 15.9})
    return table(rows, yours)


def without_words(yours: bool = False) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    shown: Rows = []
    solved: Rows = []
    drawn: Rows = []
    for k, (arm, (training, dose)) in enumerate(DOSES.items()):
        at: dict[str, object] = {"seed": 1, "metric": "accuracy" if arm == "dalle" else "accuracy_by_dose"}
        said: dict[str, object] = {**at, "training": training, "dose": dose}
        for operation in ("seen", "heldout"):
            shown.append({**said, "arm": "example", "operation": operation, "value": 0.2 + 0.3 * k})
            shown.append({**said, "arm": "unrelated", "operation": operation, "value": 0.14})
        shown.append({"seed": 1, "metric": "chance", "arm": arm, "value": 0.125})
        solved.append({**said, "arm": arm, "value": 0.15 + 0.25 * k})
        solved += [{**at, "arm": name, "value": v} for name, v in (("chance", 0.125), ("answers_alone", 0.13))]
        for name, value in (("upper_half", 0.1 + 0.4 * k), ("unrelated", 0.1), ("real", 1.0)):
            drawn.append({**said, "metric": "accuracy", "arm": name, "value": value})
    return table(shown, yours), table(solved, yours), table(drawn, yours)


def exhibits() -> dict[str, np.ndarray]:
    return {f"sheet_{name}": ONE for name in ("dalle", "small", "medium")}


def of_rows(yours: bool) -> dict[str, Callable[[], Figure]]:
    return {
        "contact_sheet": lambda: dalle.contact_sheet(exhibits(), sizes(yours), CAPTIONS),
        "drawing": lambda: dalle.drawing(drawings(yours)),
        "best_of": lambda: dalle.best_of(drawings(yours), np.stack([ONE] * 2, 1), CAPTIONS),
        "pixels_or_tokens": lambda: dalle.pixels_or_tokens(flops(yours)),
        "order": lambda: dalle.order(sizes(yours)),
        "ladder_text": lambda: dalle.ladder_text(sizes(yours)),
        "shown": lambda: dalle.shown(*without_words(yours)),
        "information": lambda: dalle.information(information(yours)),
    }


SAID = {
    "contact_sheet": [
        "10 k numbers at 300 bits",
        "160 k numbers at 200 bits",
        "background from the start (0.90 to 1.00 to 1.00)",
        "colour from the start",
        "style at 63 k (0.10 to 0.40 to 0.70)",
        "text not yet",
    ],
    "drawing": [
        "mean of all: chance 0.25, told somebody else's caption 0.20, told its caption 0.50",
        "style: chance 0.25",
    ],
    "best_of": ["best of 1 0.51, best of 2 0.52, best of 4 0.54, best of 8 0.58", "2 tries at each of 3", CAPTIONS[1]],
    "pixels_or_tokens": [
        "tokens 0.31 at 5, 0.38 at 10, 0.50 at 20",
        "pixels 0.34 at 7, 0.50 at 20",
        "style, pixels 0.10",
    ],
    "order": [
        "40 k numbers",
        "tau): 1.00",
        "background 1,000 and 1.00, colour 100 and 0.60, style 10 and 0.40",
        "colour 10 and",
    ],
    "ladder_text": ["strings: 0.00, 0.09, 0.36", "letters: 0.00, 0.30, 0.60", "certain: −4.00, −3.00, −2.00"],
    "shown": [
        "0.20 (single), 0.50 (collages), 0.80 (taught)",
        "answers 0.15 (single), 0.40",
        "of another 0.13",
        "half 0.10",
    ],
    "information": ["told nothing 200.5, told its caption 190.5", "holds 15.9 bits", "a picture costs 206.4"],
}
YOURS = {
    "contact_sheet": "Yours: background 0.88,",
    "drawing": "Yours: background 0.81, colour 0.45, style 0.09.",
    "best_of": "Yours: 0.46 at 1,",
    "pixels_or_tokens": "Yours: 0.28 at 5,",
    "order": "Yours: background 0.90,",
    "ladder_text": "Yours: 0.00 at 10 k,",
    "shown": "Yours: collages 0.45, single 0.18, taught 0.72.",
    "information": "Yours: none 180.45,",
}


@pytest.mark.parametrize("name", SAID)
def test_the_words_beside_a_figure_say_its_numbers_and_yours(name: str) -> None:
    found = of_rows(yours=True)[name]()
    for words in SAID[name]:
        assert words in found.alt
    assert YOURS[name] in found.alt and "nan" not in found.alt and found.alt.endswith(".")
    width, height = Image.open(io.BytesIO(found.png)).size
    assert 900 <= width <= 1500 and 280 <= height <= 1500


@pytest.mark.parametrize("name", ["order", "ladder_text", "information", "pixels_or_tokens"])
def test_published_rows_alone_and_rows_of_one_reader_alone_are_enough(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = of_rows(yours=False)[name]().alt
    assert "Yours" not in alone and all(words in alone for words in SAID[name])
    published = table
    monkeypatch.setattr(f"{__name__}.table", lambda rows, yours: published(rows, yours).assign(source="yours"))
    assert of_rows(yours=False)[name]().alt == alone


def test_numbers_written_as_words_and_missing_columns_are_read() -> None:
    rows = information()
    said = dalle.information(rows.astype(object).where(rows.notna(), None).map(lambda v: None if v is None else str(v)))
    assert said.alt == dalle.information(rows).alt
    assert dalle.information(rows.drop(columns="seed")[::2]).alt
    with pytest.raises(Refused, match="'value' must hold numbers"):
        dalle.information(rows.assign(value="many"))


def test_equal_numbers_are_drawn_and_have_no_order() -> None:
    same = sizes().assign(value=0.5)
    assert "no order to compare" in dalle.order(same).alt
    flat = sizes()
    flat.loc[flat["metric"] == "range_share", "value"] = 0.0
    assert dalle.order(flat).alt.count("no order to compare") == 2
    assert "strings: 0.50, 0.50, 0.50" in dalle.ladder_text(same).alt
    assert "a picture costs 40.0" in dalle.information(information().assign(value=20.0)).alt


def test_one_size_is_a_ladder_too() -> None:
    rows = sizes()[lambda t: t["size"] == SIZES[-1]]
    found = dalle.contact_sheet({"sheet_dalle": ONE}, rows, CAPTIONS)
    assert "a net (160 k" in found.alt and "style from the start (0.70)" in found.alt


def test_half_way_lies_on_the_line_between_two_sizes() -> None:
    assert dalle._half_way([10, 1000], [0.0, 1.0]) == pytest.approx(100)
    assert dalle._half_way([10, 1000], [0.5, 0.1]) == 10
    assert dalle._half_way([10, 100, 1000], [0.1, 0.5, 0.2]) == pytest.approx(100)
    assert dalle._half_way([10, 1000], [0.1, 0.49]) is None


def test_counts_are_said_as_people_say_them() -> None:
    said = [short_number(n) for n in (950, 5390, 12_158, 999_700, 1_230_000, 12_300_000, 2_500_000_000)]
    assert said == ["950", "5 k", "12 k", "1.0 M", "1.2 M", "12 M", "2.5 G"]


def test_the_tokenizer_says_bits_and_error() -> None:
    codes = np.arange(16 * 48, dtype=np.uint64).reshape(16, 4, 4, 3).astype(np.uint8)
    found = dalle.tokenizer(ONE, ONE - np.minimum(ONE, 1), codes)
    assert "3 unseen pictures of 8 x 8 pixels" in found.alt and "4 cells, each one of 16 codes" in found.alt
    assert "16 bits instead of 1,536" in found.alt and "1.0 grey levels" in found.alt


@pytest.mark.parametrize("count", [1, 3, 7, 64])
def test_the_code_book_shows_every_code_from_dark_to_bright(count: int) -> None:
    codes = np.repeat(np.linspace(0, 255, count).astype(np.uint8), 12).reshape(count, 2, 2, 3)[::-1]
    page = np.asarray(Image.open(io.BytesIO(dalle.code_book(codes).png)))
    assert set(np.unique(codes)) <= set(np.unique(page)) and (page[0, 0] == codes.min()).all()
    assert page[0, -1, 0] >= page[0, 0, 0] and f"{count} codes" in dalle.code_book(codes).alt


def test_puzzles_count_what_was_chosen_rightly() -> None:
    pictures = np.stack([ONE[:2]] * 2, 0).repeat(4, 1)
    alt = dalle.puzzles(pictures, [0, 7], [0, 3]).alt
    assert "2 puzzles" in alt and "8 answers: 1 answered rightly" in alt and "puzzle 2: right is 8, chosen 4" in alt
    with pytest.raises(Refused, match="between 0 and 7"):
        dalle.puzzles(pictures, [0, 8], [0, 3])


def test_pictures_that_a_model_drew_stand_over_their_words() -> None:
    assert "3 drawings" in dalle.emoji(ONE, CAPTIONS).alt and CAPTIONS[2] in dalle.emoji(ONE, CAPTIONS).alt
    assert "(single, taught)" in dalle.halves(ONE, {"single": ONE, "taught": ONE}).alt


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: dalle.contact_sheet({"sheet_dalle": ONE}, sizes(), CAPTIONS), "1 sheets and 3 sizes"),
        (lambda: dalle.contact_sheet(exhibits(), sizes(), CAPTIONS[:2]), "2 and 3 captions and pictures"),
        (lambda: dalle.drawing(drawings()[lambda t: t["arm"] != "shuffled"]), "arm 'shuffled'"),
        (lambda: dalle.drawing(drawings().assign(value=np.nan)), "have no value"),
        (lambda: dalle.best_of(drawings(), ONE, CAPTIONS), "must be uint8"),
        (lambda: dalle.pixels_or_tokens(flops()[lambda t: t["arm"] == "tokens"]), "arm 'pixels'"),
        (lambda: dalle.order(sizes()[lambda t: t["arm"] == "dalle"]), "arm 'faint'"),
        (lambda: dalle.order(sizes().assign(value=0.0)), "must be above 0"),
        (lambda: dalle.shown(*(t[lambda t: t["arm"] != "unrelated"] for t in without_words())), "lacks them"),
        (lambda: dalle.tokenizer(ONE, ONE[:2], ONE), "3 and 2 real and rebuilt"),
        (lambda: dalle.halves(ONE, {"single": ONE[:2]}), "single"),
        (lambda: dalle.emoji(ONE.astype(float), CAPTIONS), "must be uint8"),
        (lambda: dalle.code_book(ONE[:0]), "at least one"),
    ],
)
def test_what_a_figure_needs_and_lacks_is_said(make: Callable[[], Figure], says: str) -> None:
    with pytest.raises(Refused, match=says):
        make()
