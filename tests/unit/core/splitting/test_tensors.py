"""What two runs and shape inference tell of a tensor's dimensions."""

import pytest

from ferryman.core.splitting.tensors import ROWS, Seen, dims


@pytest.mark.parametrize(
    ("first", "second", "inferred", "expected"),
    [
        pytest.param((2, 8), (3, 8), ("n", 8), (ROWS, 8), id="what follows the rows counts them"),
        pytest.param((2, 8), (3, 8), None, (ROWS, None), id="without inference a size is a guess"),
        pytest.param((2, 8), (3, 8), (None,), (ROWS, None), id="inference of another rank is none"),
        pytest.param((4, 8), (6, 8), (None, 8), (None, 8), id="rows times something are not rows"),
        pytest.param((1, 8), (1, 8), (1, 8), (1, 8), id="one row that stays is a size"),
        pytest.param((5, 8), (5, 8), (4, 8), (None, 8), id="wrong inference is not believed"),
        pytest.param((5, 2), (5, 3), ("k", 2), (None, ROWS), id="rows may lie along any axis"),
        pytest.param((7, 4), (7, 4), ("k", 4), (None, 4), id="what depends on values may vary"),
        pytest.param((2, 4), (3, 4, 1), None, None, id="a rank that varies has no dimensions"),
    ],
)  # fmt: skip
def test_dimensions(first, second, inferred, expected):
    assert dims(Seen(2, first), Seen(3, second), inferred) == expected


def test_two_runs_with_as_many_rows_tell_of_no_rows():
    assert dims(Seen(1, (1, 4)), Seen(1, (1, 4)), (1, 4)) == (1, 4)
