import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.simulator.graph.processors import stretch_of


@pytest.mark.parametrize(
    ("wanted", "limit", "stretch"),
    [
        pytest.param({}, 2.0, 1.0, id="nothing runs"),
        pytest.param({1.0: 2}, 2.0, 1.0, id="as much as there is"),
        pytest.param({1.0: 3}, 2.0, 1.5, id="three threads on two processors"),
        pytest.param({0.0: 9, 1.0: 1}, 1.0, 1.0, id="what only waits wants none"),
        pytest.param({4.0: 1}, 2.0, 2.0, id="four threads of one batch"),
        pytest.param({0.5: 2}, 0.5, 3.0, id="those that wait for half of their time"),
    ],
)
def test_how_much_longer_what_is_computed_takes(wanted, limit, stretch):
    assert stretch_of(wanted, limit) == pytest.approx(stretch)


@given(
    st.dictionaries(st.floats(0.01, 8.0), st.integers(0, 5), max_size=5),
    st.floats(0.1, 16.0),
)
def test_no_more_is_used_than_there_is_and_no_less_than_is_wanted(wanted, limit):
    stretch = stretch_of(wanted, limit)
    used = sum(n * c / (max(0.0, 1 - c) + min(c, 1.0) * stretch) for c, n in wanted.items())
    total = sum(n * c for c, n in wanted.items())
    assert stretch >= 1
    assert used == pytest.approx(min(total, limit), rel=1e-6)
