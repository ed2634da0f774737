"""Words and ids: what is encoded is read back, and what is not known is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falsework.core.errors import Refused
from falsework.core.vocabulary import BEGIN, END, PAD, SIGNS, Vocabulary, vocabulary_of

WORDS = ("a", "blue", "circle", "red", "star")
KNOWN = Vocabulary(WORDS, 5)


def test_a_caption_becomes_its_words_its_end_and_padding():
    assert (PAD, BEGIN, END) == (0, 1, 2) and len(SIGNS) == 3
    ids = KNOWN.encode(["a red star", "circle", ""])
    assert ids.dtype == np.int64
    assert ids.tolist() == [[3, 6, 7, END], [5, END, PAD, PAD], [END, PAD, PAD, PAD]]


def test_the_row_is_as_long_as_the_longest_of_these_captions_alone():
    assert KNOWN.encode(["a", "red"]).shape == (2, 2)
    assert KNOWN.encode(["a", "a red blue star"]).shape == (2, 5)
    assert KNOWN.encode([]).shape == (0, 1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), min_size=1, max_size=6))
def test_what_is_encoded_is_read_back(captions):
    assert KNOWN.decode(KNOWN.encode(captions)) == captions


def test_reading_stops_at_the_first_end_and_leaves_signs_out():
    assert KNOWN.decode(np.array([[BEGIN, 3, 6, END, 7, END], [3, 6, 7, PAD, 5, 3]])) == [
        "a red",
        "a red star circle a",
    ]


def test_ids_are_one_to_one_and_cover_the_vocabulary():
    assert len(KNOWN) == len(SIGNS) + len(WORDS)
    assert sorted(KNOWN.ids.values()) == list(range(len(SIGNS), len(KNOWN)))


def test_a_vocabulary_holds_every_word_once_whatever_their_order_and_fits_the_longest_caption():
    captions = ["red star", "a red blue circle", "star  star"]
    found = vocabulary_of(captions)
    assert found == vocabulary_of(captions[::-1]) == Vocabulary(WORDS, 5)
    found.encode(captions)
    assert vocabulary_of([]) == Vocabulary((), 1)


def test_an_unknown_word_is_named_with_the_nearest_known_one():
    with pytest.raises(Refused, match=r"^The word 'rde' of 'a rde star' is not among the 5 known words; .* 'red'\.$"):
        KNOWN.encode(["a red star", "a rde star"])
    with pytest.raises(Refused, match=r"'zyzzyva' of 'zyzzyva' is not among the 5 known words\.$"):
        KNOWN.encode(["zyzzyva"])
    for sign in SIGNS:  # nobody can type a sign
        with pytest.raises(Refused, match=f"The word '{sign}'"):
            KNOWN.encode([sign])


def test_a_caption_longer_than_the_context_is_refused_and_the_longest_that_fits_is_not():
    assert KNOWN.encode(["a a a a"]).tolist() == [[3, 3, 3, 3, END]]
    with pytest.raises(Refused, match=r"^The caption has 5 words, but at most 4 fit: 'a a a a a'\.$"):
        KNOWN.encode(["a a a a a"])
