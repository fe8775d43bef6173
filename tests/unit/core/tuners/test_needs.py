import pytest

from ferryman.core.tuners import needs
from ferryman.core.tuners.needs import ENOUGH, Enough, Replicas, Unattainable


@pytest.mark.parametrize(
    ("said", "number", "why"),
    [
        pytest.param(ENOUGH, None, None, id="enough: neither"),
        pytest.param(Enough(2), None, None, id="enough with fewer: neither"),
        pytest.param(Replicas(3), 3, None, id="more: how many"),
        pytest.param(Unattainable("too slow"), None, "too slow", id="none would do: why"),
    ],
)
def test_there_is_a_number_or_a_reason_or_neither(said, number, why):
    assert (needs.number(said), needs.unattainable(said)) == (number, why)
