"""Is the code book in use? Counts, effective codes, and the words for a book that collapsed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from falsework.core.errors import Refused
from falsework.nets.vq import VQ
from falsework.probes.codes import tiles, usage


def test_codes_used_evenly_are_worth_their_number():
    found = usage(torch.arange(256).reshape(4, 64), 256)
    assert (found.used, round(found.effective, 6)) == (256, 256.0) and found.diagnosis == "the book is in use"


def test_effective_codes_are_two_to_the_entropy():
    ids = np.repeat([0, 1, 2], [2, 1, 1])  # 1.5 bits
    assert usage(ids, 3).effective == pytest.approx(2**1.5)


def test_a_planted_collapse_is_named_and_so_are_idle_codes():
    assert "collapsed" in usage(torch.zeros(10, 64, dtype=torch.long), 1024).diagnosis
    few = torch.tensor([0] * 990 + list(range(1, 11)))  # eleven codes occur, one does the work
    assert "collapsed" in usage(few, 1024).diagnosis
    assert "idle" in usage(torch.arange(300), 1024).diagnosis


def test_the_sentence_says_how_many_occur_of_how_many():
    assert str(usage(torch.arange(300), 1024)).startswith("300 of 1,024 codes occur, worth 300 codes used evenly")


@pytest.mark.parametrize(("ids", "given"), [([], "nothing"), ([0, 9], "0 to 9"), ([-1, 2], "-1 to 2")])
def test_codes_outside_the_book_are_refused(ids, given):
    with pytest.raises(Refused, match=f"^The codes are {given}, but must be one or more from 0 to 7"):
        usage(np.array(ids, dtype=np.int64), 8)


def test_tiles_are_what_each_code_paints_alone():
    cells = torch.rand(5, 48) * 2 - 1
    book = tiles(VQ(8, 4, cells, 8))
    assert book.shape == (5, 4, 4, 3) and book.dtype == np.uint8
    again = torch.from_numpy(book).permute(0, 3, 1, 2).reshape(5, 48).float() / 127.5 - 1
    assert (again - cells).abs().max() < 0.005
