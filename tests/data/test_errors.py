"""Tests of data.errors: messages show what a person mistyped, and never somebody's post."""

import pytest

from data.errors import shown, shown_header


@pytest.mark.parametrize("cell", ["7", "very sad", "", "2, 5, 9"])
def test_a_short_cell_is_shown_as_it_is(cell):
    assert shown(cell) == repr(cell)


@pytest.mark.parametrize("cell", ["My husband left me", "x" * 31])
def test_a_cell_that_may_be_a_post_is_shown_by_its_length(cell):
    assert shown(cell) == f"a text of {len(cell)} characters"


def test_a_header_is_shown_and_a_post_in_its_place_is_not():
    assert shown_header(["text", "label"]) == "the header is 'text,label'"
    assert shown_header(["I lost my job today", "1"]) == "the first line, of 2 cells, is none"
