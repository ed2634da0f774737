"""Figures: pictures stay pixels, words stand beside every picture, and the reader's own numbers are checked."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
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


# ---- figures of 01_igpt: what they say is what the table holds

ROW = {"source": "published", "arm": "large", "seed": 0, "data": "scenes"}
EMPTY = {"labels": None, "pool": None, "layer": np.nan, "size": np.nan, "level": None}


def table_of(*rows: dict) -> pd.DataFrame:
    return pd.DataFrame([{**EMPTY, **ROW, **row} for row in rows])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Drawing]]:
    """What the figures of 01_igpt drew, before it became pixels."""
    drawings: list[Drawing] = []

    def kept(drawing: Drawing, alt: str) -> figures.Figure:
        drawings.append(drawing)
        return figures.finish(drawing, alt)

    monkeypatch.setattr(igpt, "finish", kept)
    yield drawings


def line(ax: Axes, label: str) -> list[tuple[float, float]]:
    """Return the points of the line with this label."""
    (found,) = [x for x in ax.lines if x.get_label() == label]
    return [(float(x), float(y)) for x, y in zip(found.get_xdata(), found.get_ydata())]


def bill_table() -> pd.DataFrame:
    rows = []
    for seed, off in ((0, -4.0), (1, 4.0)):  # 400 on average, of which 25 can be said and 120 are the scene
        rows += [
            {"seed": seed, "metric": "bits_per_image", "value": 400 + off},
            {"seed": seed, "metric": "caption_bits", "level": "near-exact", "value": 25.0},
            {"seed": seed, "metric": "caption_bits", "level": "thing", "value": 3.0},
            {"seed": seed, "metric": "scene_bits", "value": 120.0},
            {"seed": seed, "metric": "bits_per_image", "arm": "small", "value": 900.0},
        ]
    rows += [
        {"metric": "bits_per_image", "arm": "drawings", "data": "drawings", "value": 700.0},
        {"metric": "bits_per_image", "source": "yours", "seed": 7, "value": 555.0},
    ]
    return table_of(*rows)


def test_the_bill_of_a_scene_is_the_sum_of_its_three_parts(drawn: list[Drawing]) -> None:
    seen = np.full((3, 16, 16, 3), 200, np.uint8)
    bits = np.ones((3, 16, 16), np.float16) * np.array([1, 2, 3], np.float16)[:, None, None]
    said = np.array(["a small red filled star", "a large blue cross", "a heart in the middle"])
    shown = igpt.scene_bill(seen, bits, said, bill_table())
    bars = sorted((p.get_x(), p.get_width()) for ax in drawn[0].axes for p in ax.patches)
    assert bars == [(0, 25), (25, 95), (120, 280)]  # end to end, and together the bill
    for words in (
        "Of 400 bits",
        "a sentence can carry 25",
        "crumbs hold at most 95",
        "at least 280 are what the model",
    ):
        assert words in shown.alt
    titles = [ax.get_title(loc) for ax in drawn[0].axes for loc in ("left", "center")]
    assert {"a small red filled star", "a large blue cross", "a heart in the middle"} <= set(titles)
    assert {"256 bits", "512 bits", "768 bits"} <= set(titles)  # what the pixels of each scene cost


def share_table(paid: float = 0.06) -> pd.DataFrame:
    crumbs = [(0, 1.0), (1, 0.5), (2, 0.3), (3, 0.19), (4, 0.12)]
    texture = [(0.0, 1.0), (0.1, 0.6), (0.15, 0.2), (0.3, 0.11), (8.0, 0.01)]
    rows = [{"metric": "perfect_share", "crumbs": k, "texture": np.nan, "value": v} for k, v in crumbs[::-1]]
    rows += [{"metric": "perfect_share", "crumbs": np.nan, "texture": g, "value": v} for g, v in texture[::-1]]
    rows += [
        {"metric": "caption_share", "level": "near-exact", "value": paid},
        {"metric": "caption_share", "level": "near-exact", "arm": "small", "value": 0.5},
        {"metric": "caption_bits", "level": "near-exact", "value": 20.0},  # so a crumb has 20 bits,
        {"metric": "scene_bits", "value": 140.0},  # and the scene six of them
        {"metric": "perfect_share", "source": "yours", "crumbs": 1, "texture": np.nan, "value": 0.0},
    ]
    return table_of(*rows)


def test_the_perfect_model_names_the_first_crumbs_and_texture_below_the_margin(drawn: list[Drawing]) -> None:
    shown = igpt.perfect_share(share_table())
    assert "below 0.2 with 3 crumbs" in shown.alt and "texture of 0.3 grey levels" in shown.alt
    assert "Our largest model: 0.06." in shown.alt
    left, right = drawn[0].axes
    assert line(left, "a perfect model, at least") == [(0, 1.0), (1, 0.5), (2, 0.3), (3, 0.19), (4, 0.12)]
    assert line(left, "our largest model") == [(6, 0.06)]
    curve = next(x for x in right.lines if len(x.get_xdata()) == 5)
    assert curve.get_xdata().tolist() == [0.0, 0.1, 0.15, 0.3, 8.0]


LOOKS = ("colour", "style", "shape")


def probe_table() -> pd.DataFrame:
    """Probes of three sizes: a row of "few" labels that counts, and others near it that must not."""
    rows = []
    for i, (arm, size) in enumerate((("small", 1000), ("medium", 4000), ("large", 16000))):
        for f, factor in enumerate(LOOKS):
            at = {"arm": arm, "factor": factor}
            rows.append({**at, "metric": "chance", "value": 1 / (8 - f)})
            for seed, off in ((0, -0.01), (1, 0.01)):
                for weights, level in (("trained", 0.4 + 0.1 * i), ("random", 0.25), ("pixels", 0.3)):
                    own = {**at, "seed": seed, "weights": weights, "pool": "mean", "labels": "few"}
                    for layer in range(1 if weights == "pixels" else 3):
                        value = level + off + 0.05 * f + (0.05 * (layer == 1) if weights == "trained" else 0.0)
                        rows.append({**own, "metric": "probe_test", "layer": layer, "value": value})
                    best = {**own, "metric": "probe_best", "size": size, "layer": 1, "value": level + off + 0.05 * f}
                    rows += [best, {**best, "labels": "all", "value": 0.99}]
                    rows.append({**own, "metric": "probe_test", "layer": 2, "labels": "all", "value": 0.99})
    for factor, value in (("group", 0.5), ("style", 0.7)):
        at = {"arm": "drawings", "data": "drawings", "factor": factor}
        rows.append({**at, "metric": "chance", "value": 0.125})
        for weights, off in (("trained", 0.0), ("random", -0.2), ("pixels", -0.3)):
            own = {**at, "weights": weights, "pool": "mean", "labels": "all"}
            rows.append({**own, "metric": "probe_best", "size": 218_000, "layer": 2, "value": value + off})
            for layer, less in [(0, 0.0)] if weights == "pixels" else [(0, 0.1), (1, 0.1), (2, 0.0)]:
                rows.append({**own, "metric": "probe_test", "layer": layer, "value": value + off - less})
    return table_of(*rows)


def near(points: list[tuple[float, float]]) -> object:
    return pytest.approx(np.array(points))


def test_the_sizes_are_shown_with_few_labels_of_scenes_alone_and_with_their_floors(drawn: list[Drawing]) -> None:
    shown = igpt.sizes(probe_table())
    words = "colour 0.40 to 0.60; style 0.45 to 0.65; shape 0.50 to 0.70"
    assert shown.alt == f"Few-shot probes from the smallest net to the largest: {words}."
    for f, ax in enumerate(drawn[0].axes):
        trained, up = line(ax, "iGPT, layer chosen on validation"), 0.05 * f
        assert np.array(trained) == near([(1000, 0.4 + up), (4000, 0.5 + up), (16000, 0.6 + up)])
        for label, floor in (("same net, untrained", 0.25), ("raw pixels", 0.3)):
            assert np.array(line(ax, label)) == near([(s, floor + up) for s in (1000, 4000, 16000)])
        assert {y for _, y in line(ax, "chance")} == {1 / (8 - f)}
        assert ax.get_title(loc="left") == LOOKS[f] and "yours" not in [x.get_label() for x in ax.lines]


def test_the_readers_own_net_is_a_star_that_moves_no_published_point(drawn: list[Drawing]) -> None:
    table = probe_table()
    published = table[(table.metric == "probe_best") & (table.arm == "small") & (table.seed == 0)]
    mine = published.assign(source="yours", seed=7, value=0.9)
    before, after = igpt.sizes(table), igpt.sizes(pd.concat([table, mine]))
    assert before.alt == after.alt
    for ax in drawn[1].axes:
        assert line(ax, "yours") == [(1000, 0.9)]
    alone = igpt.sizes(pd.concat([table.assign(source="yours")]))  # nothing published yet
    assert alone.alt == before.alt and all("yours" not in [x.get_label() for x in ax.lines] for ax in drawn[2].axes)


def test_layers_tell_the_best_layer_of_one_arm_beside_its_floors(drawn: list[Drawing]) -> None:
    shown = igpt.layers(probe_table(), ("colour", "shape"), arm="large")
    assert "colour: best layer 1 at 0.65, raw pixels 0.30, chance 0.12" in shown.alt
    assert "shape: best layer 1 at 0.75, raw pixels 0.40, chance 0.17" in shown.alt
    colour = drawn[0].axes[0]
    assert np.array(line(colour, "iGPT")) == near([(0, 0.6), (1, 0.65), (2, 0.6)])
    assert np.array(line(colour, "same net, untrained")) == near([(0, 0.25), (1, 0.25), (2, 0.25)])
    small = igpt.layers(probe_table(), ("colour",), arm="small")
    assert "colour: best layer 1 at 0.45" in small.alt


def test_layers_of_drawings_are_read_with_all_labels() -> None:
    said = igpt.layers(probe_table()).alt
    assert "group: best layer 2 at 0.50, raw pixels 0.20, chance 0.12" in said
    assert "style: best layer 2 at 0.70, raw pixels 0.40, chance 0.12" in said  # of drawings; scenes have a style too


def words(text: str) -> str:
    """Return a line of a table with single spaces."""
    return " ".join(text.split())


def test_layers_in_words_are_those_of_one_arm() -> None:
    group, style = igpt.layers_in_words(probe_table()).splitlines()
    assert words(group) == "group iGPT 0.50 untrained 0.30 raw pixels 0.20 chance 0.12"
    assert words(style) == "style iGPT 0.70 untrained 0.50 raw pixels 0.40 chance 0.12"
    lines = igpt.layers_in_words(probe_table(), LOOKS, arm="large").splitlines()
    assert words(lines[0]) == "colour iGPT 0.60 untrained 0.25 raw pixels 0.30 chance 0.12"
    assert words(lines[1]) == "style iGPT 0.65 untrained 0.30 raw pixels 0.35 chance 0.14"
    assert len(lines) == 3 and len({x.index("untrained") for x in lines}) == 1  # one column under the other


def test_pools_in_words_set_mean_beside_attention_and_chance() -> None:
    rows = [{"metric": "chance", "factor": factor, "value": 1 / (8 - f)} for f, factor in enumerate(LOOKS)]
    rows += [
        {"metric": "probe_pool", "factor": factor, "weights": "trained", "pool": p, "seed": seed, "value": v + off}
        for f, factor in enumerate(LOOKS)
        for p, v in (("mean", 0.5 + 0.1 * f), ("attention", 0.7 + 0.1 * f))
        for seed, off in ((0, -0.01), (1, 0.01))
    ]
    elsewhere = {"metric": "probe_best", "factor": "colour", "weights": "trained", "pool": "mean", "value": 0.99}
    drawings = {"metric": "chance", "factor": "style", "arm": "drawings", "data": "drawings", "value": 0.9}
    mine = {**rows[-1], "source": "yours", "value": 0.0}
    lines = igpt.pools_in_words(table_of(*rows, elsewhere, drawings, mine)).splitlines()
    assert [words(x) for x in lines] == [
        "colour mean pooling 0.50 attention pooling 0.70 chance 0.12",
        "style mean pooling 0.60 attention pooling 0.80 chance 0.14",
        "shape mean pooling 0.70 attention pooling 0.90 chance 0.17",
    ]


def test_the_curve_is_that_of_drawings_alone(drawn: list[Drawing]) -> None:
    steps = [{"source": "published", "arm": a, "seed": 0, "step": s} for a in ("drawings", "large") for s in range(3)]
    curves = pd.DataFrame([{**row, "loss": np.log(2) * (2 if row["arm"] == "drawings" else 9)} for row in steps])
    igpt.curve(curves, {"uniform": 7.0})
    paid = [x for x in drawn[0].axes[0].lines if len(x.get_xdata()) == 3]
    assert [x.get_ydata() for x in paid] == [pytest.approx([2.0, 2.0, 2.0])]
