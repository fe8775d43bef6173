"""Character accuracy: one less the edit distance, white space apart."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.clients.load.characters import accuracy, edit_distance

SHORT = st.text("abc", max_size=7)


def by_recursion(one, other):
    """Return the edit distance by its definition."""

    @cache
    def distance(i, j):
        if not i or not j:
            return i + j
        replaced = distance(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        return min(replaced, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(one), len(other))


@given(SHORT, SHORT)
def test_the_edit_distance_is_that_of_its_definition(one, other):
    assert edit_distance(one, other) == by_recursion(one, other)


@pytest.mark.parametrize(
    ("expected", "found", "share"),
    [
        pytest.param("abcd", "abcd", 1.0, id="all is right"),
        pytest.param("abcd", "abxd", 0.75, id="one of four is another"),
        pytest.param("abcd", "abcde", 0.75, id="one too many counts as one"),
        pytest.param("ab cd\nef", "abc def", 1.0, id="white space does not count"),
        pytest.param("ab", "xyzxyz", 0.0, id="never below 0"),
        pytest.param(" ", "", 1.0, id="nothing was to be read, and nothing was"),
        pytest.param("", "a", 0.0, id="nothing was to be read, and something was"),
    ],
)
def test_accuracy(expected, found, share):
    assert accuracy(expected, found) == share
