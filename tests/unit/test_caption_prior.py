"""p(c) by counting: it sums to one, costs the entropy and a little, and needs no look at the picture."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from falsework.core.errors import Refused
from falsework.core.rng import rng
from falsework.probes.caption_prior import counted_bits
from falsework.world.exact import entropy_bits

VALUES = (3, 2, 4)
EVERY = np.array(list(product(*map(range, VALUES))))


def dealt(n: int, *keys: object) -> tuple[np.ndarray, np.ndarray]:
    """Return n codes drawn from a skewed distribution over all of them, and that distribution."""
    p = rng("skew").dirichlet(np.full(len(EVERY), 0.3))
    return EVERY[rng(*keys).choice(len(EVERY), size=n, p=p)], p


@pytest.mark.parametrize("n", [0, 1, 7, 500])
@pytest.mark.parametrize("weight", [0.1, 2.0, 50.0])
def test_the_probabilities_of_all_codes_sum_to_one_whatever_was_counted(n, weight):
    assert (2.0 ** -counted_bits(dealt(n, "sum", n)[0], EVERY, VALUES, weight)).sum() == pytest.approx(1.0)


def test_before_anything_is_counted_all_codes_are_equally_likely():
    assert counted_bits(EVERY[:0], EVERY, VALUES) == pytest.approx(np.log2(24))


def test_with_many_sightings_it_costs_the_entropy_and_never_surely_less():
    seen, p = dealt(20000, "seen")
    own = -np.log2(p)
    asked = counted_bits(seen, EVERY, VALUES)
    assert 0 <= (p * asked).sum() - entropy_bits(p) < 0.01
    likely = p > 0.02
    assert asked[likely] == pytest.approx(own[likely], abs=0.15)


def test_one_sighting_is_weighed_against_the_shorter_context_by_hand():
    # after one code (0, 1) of two binary symbols: p(0) = (1 + 2/2) / 3, p(1 | 0) = (1 + 2 p(1)) / 3, p(1) = (1 + 1) / 3
    found = counted_bits(np.array([[0, 1]]), np.array([[0, 1]]), (2, 2))
    assert 2.0 ** -found[0] == pytest.approx((2 / 3) * ((1 + 2 * (2 / 3)) / 3))


def test_a_symbol_that_follows_from_the_ones_before_is_soon_free():
    first = rng("copy").integers(4, size=4000)
    seen = np.stack([first, (first + 1) % 4], 1)
    assert counted_bits(seen, seen[:50], (4, 4)).mean() == pytest.approx(2.0, abs=0.01)


def test_symbols_that_are_nothing_to_each_other_cost_what_they_cost_alone():
    seen = rng("free").integers(2, size=(30000, 6))
    assert counted_bits(seen, seen[:200], (2,) * 6).mean() == pytest.approx(6.0, abs=0.02)


@pytest.mark.parametrize(("codes", "weight"), [([[0, 2]], 2.0), ([[-1, 0]], 2.0), ([[0, 0, 0]], 2.0), ([[0, 0]], 0.0)])
def test_codes_outside_their_values_and_a_weight_of_nothing_are_refused(codes, weight):
    with pytest.raises(Refused):
        counted_bits(np.array([[0, 1]]), np.array(codes), (2, 2), weight)
