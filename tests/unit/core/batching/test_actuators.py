import pytest

from ferryman.api.batching import Batching
from ferryman.core.batching.actuators import cheapest_actuator

BEFORE = Batching(max_batch_size=8)


@pytest.mark.parametrize(
    ("after", "actuator"),
    [
        pytest.param(Batching(max_batch_size=8, instances=2), "InPlace", id="instances: in place"),
        pytest.param(Batching(max_batch_size=9), "Reload", id="the bound: reload"),
        pytest.param(
            Batching(max_batch_size=8, max_queue_delay_microseconds=5), "Reload", id="the delay"
        ),
        pytest.param(Batching(max_batch_size=9, instances=2), "Reload", id="both: reload"),
    ],
)
def test_the_cheapest_actuator(after, actuator):
    assert cheapest_actuator(BEFORE, after) == actuator


@pytest.mark.parametrize(
    ("after", "actuator"),
    [
        pytest.param(Batching(max_batch_size=9), "LiveCap", id="the bound alone"),
        pytest.param(Batching(max_batch_size=8, instances=2), "InPlace", id="instances alone"),
        pytest.param(Batching(max_batch_size=9, instances=2), "Reload", id="both"),
        pytest.param(
            Batching(max_batch_size=9, max_queue_delay_microseconds=5), "Reload", id="the delay too"
        ),
    ],
)
def test_a_live_cap_changes_the_bound_alone(after, actuator):
    assert cheapest_actuator(BEFORE, after, live_cap=True) == actuator
