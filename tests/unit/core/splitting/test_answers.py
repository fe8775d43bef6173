"""When parts answer as the whole does."""

import math

import numpy as np
import pytest

from ferryman.core.splitting.answers import largest_difference

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("whole", "parts", "expected"),
    [
        pytest.param([1.0, 2.0], [1.0, 2.5], 0.5, id="the largest difference counts"),
        pytest.param([1.0, NAN, INF], [1.0, NAN, INF], 0.0, id="the same, numbers or not"),
        pytest.param([1.0], [NAN], INF, id="a number on one side only"),
        pytest.param([INF], [-INF], INF, id="another infinity"),
        pytest.param([3], [5], 2.0, id="whole numbers"),
        pytest.param([2**53], [2**53 + 1], 0.0, id="beyond doubles a difference may not be seen"),
        pytest.param([True], [False], 1.0, id="truth"),
        pytest.param(["a"], ["a"], 0.0, id="the same text"),
        pytest.param(["a"], ["b"], INF, id="another text"),
        pytest.param([1.0], [1], INF, id="another type"),
        pytest.param([1.0], [[1.0]], INF, id="another shape"),
        pytest.param([], [], 0.0, id="nothing"),
    ],
)
def test_largest_difference(whole, parts, expected):
    assert largest_difference({"y": np.array(whole)}, {"y": np.array(parts)}) == expected


def test_the_worst_output_counts():
    whole = {"a": np.zeros(2), "b": np.zeros(2)}
    assert largest_difference(whole, {"a": np.zeros(2), "b": np.full(2, 0.25)}) == 0.25
