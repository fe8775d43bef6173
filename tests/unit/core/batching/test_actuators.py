from typing import get_args

import pytest

from ferryman.api.batching import Actuator, Batching
from ferryman.core.batching.actuators import ACTUATORS, Server, cheapest
from ferryman.core.snapshot import LiveCapView

BEFORE = Batching(max_batch_size=8)
CAP = LiveCapView(loaded=Batching(max_batch_size=32), largest=64)


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
    assert cheapest(BEFORE, after) == actuator


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
    assert cheapest(BEFORE, after, (Server(live_cap=CAP),)) == actuator


@pytest.mark.parametrize(
    ("after", "servers"),
    [
        pytest.param(Batching(max_batch_size=65), (Server(CAP),), id="beyond the cap's largest"),
        pytest.param(
            Batching(max_batch_size=9, preferred_batch_size=(4,)),
            (Server(CAP),),
            id="preferred sizes that were not loaded",
        ),
        pytest.param(
            Batching(max_batch_size=9),
            (Server(CAP.with_(loaded=Batching(max_batch_size=32, preferred_batch_size=(4,)))),),
            id="without preferred sizes that were",
        ),
        pytest.param(Batching(max_batch_size=9), (Server(CAP), Server()), id="one has no cap"),
        pytest.param(Batching(max_batch_size=9), (), id="nothing is known of any server"),
    ],
)
def test_what_the_live_cap_does_not_reach_is_a_reload(after, servers):
    assert cheapest(BEFORE, after, servers) == "Reload"


def test_where_instances_are_unknown_the_bound_still_changes_by_the_cap():
    mixed = Server(CAP, instances_known=False)
    assert cheapest(BEFORE, Batching(max_batch_size=9, instances=3), (mixed,)) == "LiveCap"


def test_every_actuator_of_the_api_has_an_entry_cheapest_first():
    assert tuple(ACTUATORS) == get_args(Actuator)


def test_every_actuator_changes_something_and_a_reload_loads():
    for name, traits in ACTUATORS.items():
        assert traits.annotates or traits.loads, name
        assert traits.loads or not traits.reloads, name
