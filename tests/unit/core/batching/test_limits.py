import pytest

from ferryman.api.batching import (
    Batching,
    BatchingSpec,
)
from ferryman.core.batching.limits import clamp, start
from tests.factories import limits

EIGHT, TEN = Batching(max_batch_size=8), Batching(max_batch_size=10)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, (64, 0, 1), id="by default the largest bound without delay"),
        pytest.param({"algorithm": "Trend"}, (8, 0, 1), id="Trend begins at a batch of 8"),
        pytest.param(
            {"limits": limits((16, 32), (100, 200), (2, 3))},
            (32, 100, 2),
            id="the least delay and instances that the limits allow",
        ),
        pytest.param(
            {"algorithm": "Trend", "limits": limits((16, 32))},
            (16, 0, 1),
            id="Trend begins at the least size if that is above 8",
        ),
        pytest.param({"limits": limits((1, 4))}, (4, 0, 1), id="the largest size if below"),
        pytest.param({"initial": TEN}, (10, 0, 1), id="initial where it is stated"),
        pytest.param(
            {"initial": TEN, "limits": limits((1, 4))}, (4, 0, 1), id="initial within the limits"
        ),
        pytest.param(
            {"initial": TEN, "limits": limits((1, 4)), "mode": "Fixed"},
            (10, 0, 1),
            id="mode Fixed takes initial as it is",
        ),
    ],
)
def test_where_tuning_starts(spec, expected):
    found = start(BatchingSpec(**spec))
    assert (
        found.max_batch_size,
        found.max_queue_delay_microseconds,
        found.instances,
    ) == expected


def test_narrower_limits_drop_the_preferred_sizes_beyond_them():
    applied = EIGHT.with_(preferred_batch_size=(2, 6), max_queue_size=5)
    found = clamp(applied, BatchingSpec(limits=limits((1, 4))))
    assert found == Batching(max_batch_size=4, preferred_batch_size=(2,), max_queue_size=5)
