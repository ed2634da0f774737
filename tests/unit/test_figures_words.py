"""Figures of 07 and 09: the words say the numbers, one seed is enough, yours is a star, and a missing arm is left out."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from falsework.core.errors import Refused
from falsework.figures import Figure, dalle3, without_captions

Rows = list[dict[str, object]]
DICE = np.random.default_rng(0)
ONE = DICE.integers(0, 256, (16, 16, 3), dtype=np.uint8)
STEPS = (50, 100, 200, 400)
SHARED, MORE = ("background", "position", "colour", "size"), ("style", "shape", "light")
CAPTIONS = {"thing": "a thing on a wall", "short": "a red thing on a wall", "ultra": "a red striped cross on a wall"}
BITS = {"thing": 2.0, "short": 8.0, "ultra": 13.0}


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def table(rows: Rows, seeds: int = 1, yours: bool = False) -> pd.DataFrame:
    """Return rows published by some seeds around their values; with yours, the same a tenth lower as seed 9."""
    every: Rows = [
        {"seed": s, **r, "source": "published", "value": float(str(r["value"])) * (1 + 0.01 * (s - (seeds - 1) / 2))}
        for s in range(seeds)
        for r in rows
    ]
    mine: Rows = [{**r, "seed": 9, "source": "yours", "value": float(str(r["value"])) * 0.9} for r in rows]
    return pd.DataFrame(every + (mine if yours else []))


def looks_drawn(figure: Figure) -> bool:
    """Return whether a figure is a picture of more than paper, with words."""
    with Image.open(io.BytesIO(figure.png)) as image:
        return np.asarray(image.convert("L")).std() > 3 and len(figure.alt) > 40


def learned(arms: Rows) -> Rows:
    """Return range_share that reaches half at the step "half" of each arm, and never where there is none."""
    rows: Rows = []
    for arm in arms:
        half = float(str(arm["half"]))
        for steps in STEPS:
            for factor in (*SHARED, *MORE):
                at = {"metric": "range_share", "arm": arm["arm"], "correct": arm["correct"], "factor": factor}
                value = min(1.0, 0.5 * steps / half) if half else 0.1
                rows.append({**at, "steps": steps, "flops": 1e9 * steps, "value": value})
    return rows


DIETS: Rows = [
    {"arm": "short", "correct": 1.0, "half": 100},
    {"arm": "ultra", "correct": 1.0, "half": 200},
    {"arm": "short", "correct": 0.5, "half": 0},
    {"arm": "rewritten", "correct": 0.5, "half": 200},
]


@pytest.mark.parametrize(("seeds", "yours"), [(1, False), (3, False), (3, True)])
def test_the_map_says_when_each_fact_is_reached_and_when_never(seeds, yours):
    figure = dalle3.compute_map(table(learned(DIETS), seeds, yours), ONE, CAPTIONS, BITS)
    assert looks_drawn(figure)
    assert "short: wall 100, place 100, colour 100, size 100;" in figure.alt
    assert "short, half wrong: wall never" in figure.alt
    assert "ultra: wall 200" in figure.alt and "light 200" in figure.alt
    assert "2 to 13 bits" in figure.alt


def test_half_way_is_the_geometric_mean_of_the_seeds_and_a_seed_that_never_comes_makes_it_a_bound():
    rows = pd.concat(
        [
            pd.DataFrame(learned([{"arm": "short", "correct": 1.0, "half": h}])).assign(seed=s)
            for s, h in enumerate((100, 400))
        ]
    )
    found, reached = dalle3.half_way(rows[rows["factor"] == "size"])
    assert found == pytest.approx(200e9) and reached
    worse = pd.DataFrame(learned([{"arm": "short", "correct": 1.0, "half": 0}])).assign(seed=2)
    assert not dalle3.half_way(pd.concat([rows, worse])[lambda t: t["factor"] == "size"])[1]


def test_the_races_leave_out_an_arm_that_is_not_there_and_star_yours():
    figure = dalle3.races(table(learned(DIETS[:2]), 3, True), SHARED, MORE)
    assert looks_drawn(figure)
    assert "rewritten" not in figure.alt and "facts both name, short: 0.25, 0.50, 1.00, 1.00" in figure.alt
    assert "Yours: 0.23 at 50" in figure.alt


def test_drawings_stand_by_budget_and_name_their_prompts():
    exhibits = {
        f"drawn_{arm}_{steps}": DICE.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
        for arm in ("a_1", "b_1")
        for steps in STEPS
    }
    exhibits["shown_real"] = exhibits["drawn_a_1_50"]
    del exhibits["drawn_b_1_400"]  # an arm need not have every budget
    figure = dalle3.along_budgets(exhibits, {"a_1": "one diet", "b_1": "another"}, ["a cross", "a star"], (0, 3))
    assert looks_drawn(figure)
    assert "'a cross' and of 'a star'" in figure.alt and "50, 100, 200, 400 steps" in figure.alt


def test_rewritten_captions_are_told_before_and_after():
    rows: Rows = []
    for factor, before, after in (("colour", (0.6, 0.4), (1.0, 0.0)), ("shape", (0.0, 0.0), (0.9, 0.1))):
        for when, (right, wrong) in (("before", before), ("after", after)):
            rows += [
                {"metric": m, "when": when, "factor": factor, "value": v}
                for m, v in (("right", right), ("wrong", wrong))
            ]
    figure = dalle3.rewritten(table(rows))
    assert looks_drawn(figure)
    assert "colour 60% right, 40% wrong" in figure.alt and "shape 90% right, 10% wrong" in figure.alt


def test_the_two_by_two_names_its_four_corners():
    corners = {("better", "better"): 0.9, ("better", "worse"): 0.5, ("worse", "better"): 0.8, ("worse", "worse"): 0.3}
    rows: Rows = [{"metric": "accuracy", "architecture": a, "captions": c, "value": v} for (a, c), v in corners.items()]
    figure = dalle3.words_or_net(table(rows, 3, True))
    assert looks_drawn(figure)
    assert "paints: 0.50" in figure.alt and "0.90 with right" in figure.alt and "skip: 0.30" in figure.alt


def test_a_blend_is_asked_in_long_words_and_in_short_at_one_budget():
    rows: Rows = []
    for metric, value in (("accuracy", 0.9), ("accuracy_short", 0.7)):
        at: dict[str, object] = {"metric": metric, "factor": "colour", "correct": 1.0, "steps": 200}
        rows += [{**at, "arm": "blend", "own": own, "value": value - own} for own in (0.65, 0.8)]
        rows += [
            {**at, "arm": "ultra", "own": None, "value": value},
            {**at, "arm": "ultra", "own": None, "steps": 400, "value": 0},
        ]
    found = dalle3.blend_table(table(rows), ["colour"])
    assert found["asked in long words"].tolist() == ["0.25", "0.10", "0.90"]
    assert found["asked in short words"].tolist() == ["0.05", "-0.10", "0.70"]


# ---- 09


BANDS = (0.0625, 0.25, 1.0, 4.0, 64.0)
BILLS = {"direct": 600.0, "s1": 530.0, "s1_code": 590.0, "s2": 615.0, "s3": 610.0, "exact": 370.0, "exact_told": 371.0}


def bills(prefix: str = "") -> Rows:
    rows: Rows = []
    for arm, value in BILLS.items():
        caption = 13.0 if arm.startswith(("s1", "exact_told")) else 0.0
        rows.append({"metric": "bits_per_image", "arm": prefix + arm, "value": value})
        rows.append({"metric": "caption_bits", "arm": prefix + arm, "value": caption})
        for band in range(4):
            share = (value - caption) * (0.4, 0.3, 0.2, 0.1)[band]
            rows.append(
                {"metric": "bits_in_band", "arm": prefix + arm, "band": band, "sigma": BANDS[band], "value": share}
            )
    return rows


def ladder() -> Rows:
    rows: Rows = []
    for steps in STEPS:
        at: dict[str, object] = {"steps": steps, "flops": 1e9 * steps}
        for number, name in ((0, "none"), (4, "ultra")):
            rows.append(
                {**at, "metric": "kl", "level": number, "name": name, "value": 40000 / steps * (1 + (number == 0))}
            )
        rows.append({**at, "metric": "gap", "arm": "ultra_over_none", "value": steps / 10 - 10})
    return rows


@pytest.mark.parametrize(("seeds", "yours"), [(1, False), (5, False), (5, True)])
def test_what_is_overpaid_is_the_bill_above_the_exact_one(seeds, yours):
    figure = without_captions.overpaid(table(bills() + bills("small_"), seeds, yours))
    assert looks_drawn(figure)
    assert "least 370: never a word 230, S1: a caption first, then the picture 160" in figure.alt
    assert "1,024 scenes, least 370" in figure.alt
    assert "random" not in figure.alt  # it was not measured


def test_savings_are_paired_by_seed():
    rows = table(bills(), 3)
    rows = rows[~((rows["arm"] == "s1") & (rows["seed"] == 2))]
    found = without_captions.saved(rows, "bits_per_image", "s1")
    assert found["seed"].tolist() == [0, 1]
    assert found["value"].tolist() == pytest.approx([0.99 * 70, 70.0])


@pytest.mark.parametrize("yours", [False, True])
def test_the_frame_shows_each_band_the_caption_and_the_whole(yours):
    figure = without_captions.frame_down(table(bills(), 3, yours), table(ladder(), 1, yours), ONE, BANDS)
    assert looks_drawn(figure)
    assert "S1: a caption first, then the picture +33, +25, +17, +8, -13" in figure.alt
    assert "-5 at 50 GFLOP" in figure.alt and "+30 at 400 GFLOP" in figure.alt


def test_what_is_left_to_learn_falls_along_the_compute():
    figure = without_captions.budgets(table(ladder(), 3, True))
    assert looks_drawn(figure)
    assert "told nothing: 1600 at 50" in figure.alt and "told ultra captions: 800 at 50" in figure.alt


def test_the_step_is_yours_and_never_is_off_the_chart():
    rows: Rows = [
        {"metric": "bits_per_image", "arm": "frame", "until": u, "value": v}
        for u, v in ((0, 700), (200, 720), (400, 1e5))
    ]
    shown = table(rows)
    mine = pd.DataFrame([{**rows[1], "until": 150, "seed": 0, "source": "yours", "value": 711.0}])
    figure = without_captions.taken_away(pd.concat([shown, mine]), 400)
    assert looks_drawn(figure) and "100,000 at step 400" in figure.alt


def test_the_toy_tells_the_area_of_each_learner():
    sigmas = np.geomspace(0.01, 10, 50)
    bits = np.full(50, 3 / np.log(1000))
    figure = without_captions.toy(DICE.standard_normal((40, 2)), sigmas, {"one": bits, "two": 2 * bits})
    assert looks_drawn(figure) and "one 3.00 bits in all; two 6.00 bits" in figure.alt


def test_a_table_without_the_rows_is_refused_in_a_sentence():
    empty = table([{"metric": "accuracy", "arm": "x", "value": 1}])
    for draw in (without_captions.overpaid, without_captions.budgets, dalle3.rewritten, dalle3.words_or_net):
        with pytest.raises(Refused):
            draw(empty)
