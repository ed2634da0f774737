"""Intervals, bounds and orders against hand-worked numbers and known laws."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falsework.core import stats
from falsework.core.errors import Refused


def test_t_interval_against_hand():
    found = stats.t_interval([1.0, 2.0, 3.0])
    assert found.effect == 2.0
    half = 4.302653 / math.sqrt(3)  # t of 2 degrees of freedom at .975, standard deviation 1
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), rel=1e-6)
    assert found.p_above(found.low) == pytest.approx(0.025)
    assert found.p_below(found.high) == pytest.approx(0.025)
    assert found.p_above(2.0) == pytest.approx(0.5)


def test_one_seed_and_nan_are_refused():
    with pytest.raises(Refused, match="at least 2"):
        stats.t_interval([1.0])
    with pytest.raises(Refused, match="finite"):
        stats.t_interval([1.0, math.nan])


def test_equal_seeds_are_certain_only_without_a_floor():
    sure = stats.t_interval([0.5, 0.5, 0.5])
    assert sure.low == sure.high == 0.5 and sure.p_above(0.4) == 0.0 and sure.p_above(0.5) == 1.0
    rounding = stats.t_interval([0.1 + 0.2 - 0.3] * 3)
    assert rounding.p_above(0.0) == 1.0  # 5e-17 is arithmetic, not an effect
    rows = [{"seed": s, "value": 1.0, "n": 50} for s in range(3)]
    floored = stats.mean_interval(rows)
    rate = 51 / 52  # (k + 1) / (n + 2)
    floor = math.sqrt(rate * (1 - rate) / 50 / 3)
    assert floored.floor == pytest.approx(floor, rel=1e-3)
    assert floored.low == pytest.approx(1 - 1.959964 * floor, rel=1e-4)
    assert floored.p_above(floored.low) == pytest.approx(0.025)


def test_item_error_adds_to_seed_error():
    g = np.random.default_rng(0)
    items = g.normal(0, 1, 400)
    value_SI = 0.1 * g.normal(0, 1, (4, 1)) + items + 0.01 * g.normal(0, 1, (4, 400))
    rows = [{"seed": s, "item": i, "value": value_SI[s, i]} for s in range(4) for i in range(400)]
    found = stats.mean_interval(rows)
    assert found.item_se == pytest.approx(items.std(ddof=1) / 20, rel=0.1)
    assert found.seed_se == pytest.approx(value_SI.mean(1).std(ddof=1) / 2)
    half = math.hypot(3.182446 * found.seed_se, 1.965927 * found.item_se)
    assert found.high - found.effect == pytest.approx(half, rel=1e-4)
    assert found.p_above(found.low) == pytest.approx(0.025, rel=1e-6)


def test_items_are_resampled_whole_so_paired_arms_cancel():
    g = np.random.default_rng(1)
    hard = g.normal(0, 1, 100)

    def arm(shift):
        return [{"seed": s, "item": i, "value": hard[i] + shift} for s in range(3) for i in range(100)]

    cells = stats.tabulate([arm(0.3), arm(0.0)])
    sample = stats.sample_of(cells, lambda m: m[..., 0, :] - m[..., 1, :])
    assert sample.values == pytest.approx((0.3,) * 3) and sample.item_se < 1e-9


def test_fresh_items_bring_no_item_error():
    rows = [{"seed": s, "item": f"{s}-{i}", "value": float(i % 2)} for s in range(3) for i in range(10)]
    assert stats.mean_interval(rows).item_se == 0.0


def test_only_seeds_of_every_term_count():
    a = [{"seed": s, "value": s} for s in (0, 1, 2)]
    b = [{"seed": s, "value": 0} for s in ("1", 2.0, 3)]
    assert stats.tabulate([a, b]).seeds == (1, 2)


def test_a_value_that_is_not_finite_is_refused():
    with pytest.raises(Refused, match="censored = 1"):
        stats.tabulate([[{"seed": 0, "value": math.inf}]])


def test_ratio_interval_is_the_t_interval_of_logs():
    found = stats.ratio_interval([2.0, 4.0, 8.0], [1.0, 1.0, 1.0])
    logs = stats.t_interval(np.log([2.0, 4.0, 8.0]))
    assert found.effect == pytest.approx(4.0)
    assert (found.low, found.high) == pytest.approx((math.exp(logs.low), math.exp(logs.high)))
    with pytest.raises(Refused, match="positive"):
        stats.ratio_interval([1.0, 0.0], [1.0, 1.0])


def test_slope_per_seed_is_least_squares():
    g = np.random.default_rng(2)
    x, y = np.arange(5.0), g.normal(size=(5, 3))
    assert stats.slopes(x, y) == pytest.approx(np.polyfit(x, y, 1)[0])
    with pytest.raises(Refused, match="two different places"):
        stats.slopes([1.0, 1.0], y[:2])


def test_first_reach_interpolates_and_censors():
    assert stats.first_reach([1, 10, 100], [0.1, 0.4, 0.6], 0.5) == (pytest.approx(10**1.5), 0)
    assert stats.first_reach([1, 10, 100], [0.1, 0.2, 0.3], 0.5) == (100, 1)
    assert stats.first_reach([1, 10, 100], [0.9, 0.2, 0.3], 0.5) == (1, -1)
    with pytest.raises(Refused, match="rising"):
        stats.first_reach([10, 1], [0, 1], 0.5)


@pytest.mark.parametrize(("flag", "side"), [(1, "at_least"), (-1, "at_most")])
def test_a_censored_value_opens_the_side_it_could_move_to(flag, side):
    top = [{"seed": s, "value": 4e12 + s, "censored": flag} for s in range(3)]
    bottom = [{"seed": s, "value": 1e12 + s, "censored": 0} for s in range(3)]
    up = stats.sample_of(stats.tabulate([top, bottom]), lambda m: np.log(m[..., 0, :] / m[..., 1, :]))
    down = stats.sample_of(stats.tabulate([bottom, top]), lambda m: np.log(m[..., 0, :] / m[..., 1, :]))
    other = {"at_least": "at_most", "at_most": "at_least"}[side]
    assert getattr(up, side) and not getattr(up, other)
    assert getattr(down, other) and not getattr(down, side)
    open_up = stats.Sample((1.0, 1.1, 1.2), at_least=True).interval()
    assert open_up.high == math.inf and open_up.p_below(5.0) == 1.0 and open_up.p_above(0.5) < 0.05


def test_holm_against_the_worked_example():
    # by hand: .01 x 4, .013 x 3 (raised to the one before), .014 x 2 (raised), .19 x 1
    adjusted = stats.holm({"a": 0.013, "b": 0.19, "c": 0.01, "d": 0.014})
    assert adjusted == pytest.approx({"c": 0.04, "a": 0.04, "d": 0.04, "b": 0.19})
    assert list(adjusted) == ["a", "b", "c", "d"]


@given(st.dictionaries(st.integers(), st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_holm_never_lowers_a_p_and_keeps_their_order(p):
    adjusted = stats.holm(p)
    assert all(p[k] <= adjusted[k] <= 1 for k in p)
    ranked = sorted(p, key=p.__getitem__)
    assert all(adjusted[a] <= adjusted[b] for a, b in pairwise(ranked))
    assert min(adjusted.values()) == pytest.approx(min(1.0, len(p) * min(p.values())))


def test_kendall_tau_counts_pairs():
    assert stats.kendall_tau([1, 2, 3, 4], [1, 2, 3, 4]) == 1.0
    assert stats.kendall_tau([1, 2, 3, 4], [4, 3, 2, 1]) == -1.0
    assert stats.kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert stats.kendall_tau([1, 2, 3], [1, 1, 2]) == pytest.approx(2 / math.sqrt(3 * 2))
    assert math.isnan(stats.kendall_tau([1, 2], [3, 3]))


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=6), st.floats(-3, 3), st.floats(0.1, 10))
@settings(max_examples=60, deadline=None)
def test_an_interval_moves_and_stretches_with_its_values(values, shift, scale):
    a = stats.t_interval(values)
    b = stats.t_interval([scale * v + shift for v in values])
    assert (b.effect, b.low, b.high) == pytest.approx(
        tuple(scale * v + shift for v in (a.effect, a.low, a.high)), abs=1e-6
    )
