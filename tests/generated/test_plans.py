"""Plans for worlds that nobody wrote: what every decision must hold, whatever was stored before."""

import dataclasses
from datetime import timedelta

import hypothesis
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ferryman.api.conditions import ConditionType, Reason, find
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.clients import pbtxt
from ferryman.core.batching.changes import record_outcome, record_started
from ferryman.core.plan import Environment, plan
from ferryman.core.status import conditions
from ferryman.core.tuners.select import TunerState
from tests.factories import NOW
from tests.generated import worlds
from tests.generated.examples import examples

REASONS = frozenset(map(str, Reason))
ALWAYS = (
    ConditionType.READY,
    ConditionType.PLACED,
    ConditionType.MODEL_LOADED,
    ConditionType.OBJECTIVES_MET,
)
maybe_windows = st.none() | worlds.windows()


def planned(snapshot, window=None, state=None, after_s=0):
    return plan(
        snapshot,
        window=window,
        state=state or TunerState(),
        now=NOW + timedelta(seconds=after_s),
        encode=pbtxt.encode,
        control_key="key",
        environment=Environment(operator_namespace="ferryman-system"),
    )


def written(snapshot, status):
    """Return the snapshot with a status as it comes back from the API server."""
    read = InferenceModelStatus.model_validate(status.as_dict())
    return snapshot.with_(model=snapshot.model.with_(status=read))


def carried_out(snapshot, done, after_s):
    """Return the snapshot after a plan was carried out, and its pods did what they were told."""
    now = NOW + timedelta(seconds=after_s)
    if done.actuation is None:
        return written(
            snapshot, conditions.applied(done.status, now) if done.objects else done.status
        )
    begun = conditions.applied(record_started(done.status, done.actuation, now), now)
    status = record_outcome(begun, done.actuation, "Applied", "", now)
    changed = {view.name for view in done.actuation.pods}
    pods = tuple(
        view.with_(batching=done.actuation.after) if view.name in changed else view
        for view in snapshot.serving.pods
    )
    return written(snapshot, status).with_(serving=snapshot.serving.with_(pods=pods))


@examples(250)
@given(worlds.snapshots(), maybe_windows)
def test_every_plan_is_whole_whatever_was_stored(snapshot, window):
    """No status makes a decision fail, and each says all that is to be said, in known words."""
    done = planned(snapshot, window)
    status = done.status
    assert InferenceModelStatus.model_validate(status.as_dict()) == status
    kinds = [each.type for each in status.conditions]
    assert len(set(kinds)) == len(kinds)
    assert set(ALWAYS) <= set(kinds)
    for each in status.conditions:
        assert each.message
        assert each.reason in REASONS
        assert each.observed_generation == snapshot.model.metadata.generation
    assert status.observed_generation == snapshot.model.metadata.generation
    ready = find(status.conditions, ConditionType.READY)
    problems = {ConditionType.RECONCILING, ConditionType.STALLED} & set(kinds)
    assert (ready.status == "True") == (not problems)
    assert len(problems) <= 1
    assert status.batching.reason in {"", *REASONS}
    assert all(event.reason in REASONS and event.message for event in done.events)


@examples(250)
@given(worlds.snapshots(), maybe_windows)
def test_every_model_comes_to_rest(snapshot, window):
    """What was written and carried out is not decided again: no write, no change, no event."""
    done = planned(snapshot, window)
    for beat in range(1, 12):
        after = carried_out(snapshot, done, beat)
        again = planned(after, state=done.state, after_s=beat)
        if again.actuation is None and again.status == after.model.status:
            assert again.events == ()
            return
        snapshot, done = after, again
    pytest.fail(f"still writes: {_differences(after.model.status, again.status)}")


def _differences(before, after):
    pairs = (
        (name, getattr(before, name), getattr(after, name)) for name in type(before).model_fields
    )
    return [each for each in pairs if each[1] != each[2]]


@examples(200)
@given(worlds.snapshots(), st.data())
def test_what_nodes_are_busy_with_writes_nothing_while_a_model_stays(snapshot, data):
    for beat in range(4):
        snapshot = carried_out(snapshot, planned(snapshot, after_s=beat), beat)
    nodes = tuple(_busier(node, data.draw) for node in snapshot.nodes)
    later = snapshot.with_(nodes=nodes)
    rest, found = planned(snapshot, after_s=4).status, planned(later, after_s=4).status
    here = rest.placement and rest.placement.node_type
    if here and found.placement.node_type == here:
        assert found == rest


def _busier(node, draw):
    if node.profile is None:
        return node
    processors = tuple(
        each.with_(utilisation=draw(worlds.SHARES), memory_utilisation=draw(worlds.SHARES))
        for each in node.profile.processors
    )
    return node.with_(profile=node.profile.with_(processors=processors))


@examples(100)
@given(worlds.snapshots(), maybe_windows)
def test_the_same_look_gives_the_same_plan(snapshot, window):
    one, other = planned(snapshot, window), planned(snapshot, window)
    for field in dataclasses.fields(one):
        if field.name != "state":
            assert getattr(one, field.name) == getattr(other, field.name)


def _places(done, _again):
    return done.status.placement is not None and done.status.placement.node_type is not None


def _changes(done, _again):
    return done.actuation is not None


def _serves(_done, again):
    return find(again.status.conditions, ConditionType.READY).reason == Reason.SERVING


@pytest.mark.parametrize("happens", [_places, _changes, _serves])
def test_the_worlds_of_these_tests_are_served_and_tuned_now_and_then(happens):
    """Worlds in which nothing works would prove little."""

    def shows(world):
        snapshot, window = world
        done = planned(snapshot, window)
        again = planned(carried_out(snapshot, done, 1), state=done.state, after_s=1)
        return happens(done, again)

    drawn = st.tuples(worlds.snapshots(), maybe_windows)
    # What hypothesis draws depends on which modules are loaded: how soon it finds one does, too.
    until_found = settings(max_examples=5_000, phases=[Phase.generate], database=None)
    hypothesis.find(drawn, shows, settings=until_found)
