"""Models that Triton serves one request at a time are told how many replicas they need."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingStatus, InferenceModelStatus
from ferryman.api.scaling import ScalingSpec
from ferryman.core.batching.decide import decide
from ferryman.core.scaling import decide as scaling
from ferryman.core.snapshot import ServingState
from ferryman.core.tuners.state import TunerState
from tests.factories import NOW, model, objectives, pod, window

GUARDED = BatchingSpec(algorithm="Guarded")
STATED = {"max_batch_size": 0}


def look(per_s, *, pods=1, waits=0):
    """Return 30 s of requests of which each takes 200 ms, so that a pod serves five a second."""
    served = min(30 * per_s, 150 * pods)
    return window(
        seconds=30.0,
        requests=served,
        inferences=served,
        requests_per_s=served / 30,
        inferences_per_s=served / 30,
        offered_inferences_per_s=float(per_s),
        mean_latency_ms=4_000.0 if waits else 250.0,
        latency_ms=8_000.0 if waits else 500.0,
        mean_batch_size=1.0,
        queue_ms=3_800.0 if waits else 50.0,
        compute_ms=200.0,
        service_times={1: (served, 200.0)},
        pending=waits,
        pending_before=0,
        pods=pods,
    )


def answer(seen, *, overlay=STATED, batchable=True, status=None, state=None, now=NOW, **fields):
    serving = ServingState(
        exists=True,
        ready_replicas=seen.pods,
        updated_replicas=seen.pods,
        model_ready=True,
        batchable=batchable,
        pods=tuple(pod(f"{i}").with_(batching=None) for i in range(seen.pods)),
    )
    subject = model(
        objectives=objectives(2_000),
        status=InferenceModelStatus(batching=status or BatchingStatus()),
        **{"batching": GUARDED, "replicas": seen.pods, **fields},
    )
    found = decide(
        subject, serving, overlay, window=seen, steady=False, state=state or TunerState(), now=now
    )
    return found, scaling.of_model(subject, found.status, serving, now)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="its owner says so"),
        pytest.param({"overlay": {}, "batchable": False}, id="Triton says so"),
        pytest.param({"batching": GUARDED.with_(on_overload="Reject")}, id="and overload rejects"),
    ],
)
def test_a_model_that_is_asked_for_more_than_it_can_is_told_how_many_replicas_it_needs(fields):
    """Twelve a second of five each: three pods could only just, four can."""
    bounds = ScalingSpec(max_replicas=6)
    found, scaled = answer(look(12, waits=200), scaling=bounds, **fields)
    assert found.status.needed_replicas in {3, 4}
    assert found.status.desired_replicas == found.status.needed_replicas
    assert (scaled.replicas, scaled.reason) == (found.status.desired_replicas, Reason.MORE_NEEDED)
    assert (found.status.reason, found.actuation) == (Reason.NOT_BATCHABLE, None)


def test_and_how_few_would_do():
    """Three a second of five each: one pod would be busy for 0.6, and 0.72 of a higher demand."""
    status, state = BatchingStatus(), TunerState()
    for index in range(12):
        now = NOW + timedelta(seconds=30 * index)
        seen = replace(look(3, pods=4), ended_at_s=30.0 * index)
        found, _ = answer(seen, status=status, state=state, now=now)
        status, state = found.status, found.state
    assert status.desired_replicas in {1, 2}
    assert found.applied == Batching(max_batch_size=1)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"overlay": {"sequence_batching": {}}}, id="a stateful model"),
        pytest.param(
            {"overlay": {**STATED, "sequence_batching": {}}},
            id="whatever its bound is stated to be",
        ),
        pytest.param(
            {"batching": BatchingSpec(mode="Fixed", initial=Batching(max_batch_size=1))},
            id="mode Fixed",
        ),
    ],
)
def test_of_others_nothing_is_said(fields):
    found, _ = answer(look(12, waits=200), **fields)
    assert (found.status.needed_replicas, found.status.desired_replicas) == (None, None)
