"""The conditions: what is the case, why, and since when."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ferryman.api.batching import BatchingSpec
from ferryman.api.conditions import Condition, ConditionType, Reason, find
from ferryman.api.inference_model_status import (
    InferenceModelStatus,
    ObservedStatus,
    PlacementStatus,
)
from ferryman.core.errors import RejectedError
from ferryman.core.observation.objectives import Verdict
from ferryman.core.snapshot import ServingState
from ferryman.core.status import conditions
from ferryman.core.status.observed import Observation
from ferryman.core.status.readiness import NotReady, View
from tests import factories
from tests.factories import NOW, at

PLACED = PlacementStatus(
    node_type="cpu-small", processor="cpu", reason=Reason.LEAST_WORKLOAD, message="least"
)
NOWHERE = PlacementStatus(reason=Reason.NO_CANDIDATE, message="no node type can serve")
READY = ServingState(
    exists=True, desired_replicas=1, ready_replicas=1, updated_replicas=1, model_ready=True
)
MET = Verdict(met=True, latency=-1, throughput_met=None, reason=Reason.MET, message="p99 40 ms")


def serving_condition(generation):
    """Return what is said of a model whose specification was applied."""
    return Condition(
        type="Ready",
        status="True",
        reason="Serving",
        message="",
        observed_generation=generation,
        last_transition_time=at(-60),
    )


def view(
    serving=READY,
    *,
    placement=PLACED,
    rejection=None,
    verdict=None,
    steady=True,
    before=(),
    needed=None,
    unattainable=None,
    rejected=0,
    **model,
):
    serves = serving_condition(model.get("generation", 1))
    status = InferenceModelStatus(conditions=(*before, serves), placement=PLACED)
    return View(
        model=factories.model(status=status, **model),
        runtime=factories.runtime(),
        placement=placement,
        serving=serving,
        rejection=rejection,
        observation=Observation(ObservedStatus(rejected_requests=rejected), verdict, steady),
        needed_replicas=needed,
        unattainable=unattainable,
    )


def describe(*args, now=NOW, **fields):
    return conditions.describe(view(*args, **fields), now)


def shown(kind, *args, **fields):
    condition = find(describe(*args, **fields), kind)
    return None if condition is None else (condition.status, condition.reason, condition.message)


def objectives_met(status, reason, message="before", generation=1):
    return Condition(
        type="ObjectivesMet",
        status=status,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=at(-60),
    )


def test_a_model_that_serves_has_no_abnormal_condition():
    found = describe(verdict=MET)
    assert [(c.type, c.status, c.reason) for c in found] == [
        ("Ready", "True", "Serving"),
        ("Placed", "True", "LeastWorkload"),
        ("ModelLoaded", "True", "ModelLoaded"),
        ("ObjectivesMet", "True", "Met"),
    ]
    assert found[0].message == "1 replica serves on cpu-small (cpu)"


def test_more_replicas_serve():
    two = READY.with_(desired_replicas=2, ready_replicas=2, updated_replicas=2)
    ready = shown(ConditionType.READY, two, replicas=2)
    assert ready == ("True", "Serving", "2 replicas serve on cpu-small (cpu)")


def test_what_is_being_worked_on_is_reconciling_and_ready_mirrors_it():
    state = READY.with_(ready_replicas=0)
    ready = shown(ConditionType.READY, state)
    assert ready == ("False", "Deploying", "0 of 1 replicas are ready, on cpu-small")
    assert shown(ConditionType.RECONCILING, state) == ("True", *ready[1:])
    assert shown(ConditionType.STALLED, state) is None


def test_what_needs_a_person_is_stalled_and_ready_mirrors_it():
    rejection = RejectedError(Reason.INVALID_CONFIG, "remove name")
    ready = shown(ConditionType.READY, rejection=rejection)
    assert ready == ("False", "InvalidConfig", "remove name; what served before keeps serving")
    assert shown(ConditionType.STALLED, rejection=rejection) == ("True", *ready[1:])
    assert shown(ConditionType.RECONCILING, rejection=rejection) is None


def test_a_model_that_is_not_placed():
    placed = shown(ConditionType.PLACED, placement=NOWHERE)
    assert placed == ("False", "NoCandidate", "no node type can serve")


def test_a_model_scaled_to_zero_is_as_it_should_be_but_serves_nobody():
    gone = ServingState(exists=True)
    assert shown(ConditionType.READY, gone, replicas=0) == (
        "True",
        "ScaledToZero",
        "no replicas are asked for: raise spec.replicas to serve",
    )
    loaded = shown(ConditionType.MODEL_LOADED, gone, replicas=0)
    assert loaded == ("False", "ScaledToZero", "no replicas are asked for")


@pytest.mark.parametrize(
    ("state", "status", "reason", "words"),
    [
        pytest.param(
            {"model_ready": True}, "True", "ModelLoaded", "the model is ready", id="loaded"
        ),
        pytest.param(
            {"model_ready": False, "model_message": "UNAVAILABLE: bad input"},
            "False",
            "ModelLoadFailed",
            "correct its files or spec.model.config: UNAVAILABLE: bad input",
            id="failed, in Triton's words",
        ),
        pytest.param(
            {"model_ready": False, "model_message": "LOADING"},
            "False",
            "ModelLoading",
            "Triton is loading the model",
            id="loading",
        ),
        pytest.param(
            {"model_ready": None},
            "Unknown",
            "TritonUnreachable",
            "look at NetworkPolicies",
            id="ready pods that do not answer",
        ),
        pytest.param(
            {"model_ready": None, "ready_replicas": 0},
            "Unknown",
            "Deploying",
            "no pod is ready yet",
            id="no pods yet",
        ),
    ],
)
def test_model_loaded(state, status, reason, words):
    found = shown(ConditionType.MODEL_LOADED, READY.with_(**state))
    assert found[:2] == (status, reason)
    assert words in found[2]


def test_tritons_words_are_cut_to_what_the_api_allows():
    state = READY.with_(model_ready=False, model_message="x" * 5000)
    assert len(shown(ConditionType.MODEL_LOADED, state)[2]) == 1024


MISSED = Verdict(
    met=False,
    latency=1,
    throughput_met=None,
    reason=Reason.LATENCY_ABOVE_TARGET,
    message="p99 80 ms",
)
SILENT = Verdict(None, None, None, Reason.NO_TRAFFIC, "no requests in 30 s")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"verdict": MET}, ("True", "Met", "p99 40 ms"), id="met"),
        pytest.param(
            {"verdict": MISSED}, ("False", "LatencyAboveTarget", "p99 80 ms"), id="missed"
        ),
        pytest.param(
            {"verdict": SILENT}, ("Unknown", "NoTraffic", "no requests in 30 s"), id="no traffic"
        ),
        pytest.param(
            {}, ("Unknown", "Observing", "no window with enough requests has ended yet"), id="new"
        ),
        pytest.param(
            {"before": (objectives_met("True", "Met"),)},
            ("True", "Met", "before"),
            id="without a window the last verdict stands",
        ),
        pytest.param(
            {"before": (objectives_met("True", "Met", generation=0),)},
            ("Unknown", "Observing", "no window with enough requests has ended yet"),
            id="but not one about other objectives",
        ),
        pytest.param(
            {"before": (objectives_met("Unknown", "Observing"),)},
            ("Unknown", "Observing", "no window with enough requests has ended yet"),
            id="nor one that was none",
        ),
        pytest.param(
            {"before": (objectives_met("True", "Met"),), "verdict": MET},
            ("True", "Met", "before"),
            id="noise: the words of before stay",
        ),
        pytest.param(
            {"before": (objectives_met("True", "Met"),), "verdict": MET, "steady": False},
            ("True", "Met", "p99 40 ms"),
            id="new figures: new words",
        ),
        pytest.param(
            {"before": (objectives_met("True", "Met"),), "verdict": SILENT},
            ("Unknown", "NoTraffic", "no requests in 30 s"),
            id="another reason: new words",
        ),
    ],
)
def test_objectives_met(fields, expected):
    assert shown(ConditionType.OBJECTIVES_MET, **fields) == expected


def test_nothing_is_observed_where_nothing_serves():
    state = READY.with_(ready_replicas=0)
    found = shown(ConditionType.OBJECTIVES_MET, state, verdict=MET)
    assert found == ("Unknown", "Observing", "no replica serves, so there is nothing to observe")


def test_the_time_moves_only_when_the_status_does():
    first = describe()
    later = NOW + timedelta(minutes=5)
    other = PLACED.with_(message="other words")
    same = find(describe(placement=other, before=first, now=later), ConditionType.PLACED)
    assert (same.message, same.last_transition_time) == ("other words", at())
    flipped = find(describe(placement=NOWHERE, before=first, now=later), ConditionType.PLACED)
    assert (flipped.status, flipped.last_transition_time) == ("False", at(300))


def test_conditions_are_about_the_present_generation():
    assert {c.observed_generation for c in describe(generation=4)} == {4}


REJECT = {"batching": BatchingSpec(on_overload="Reject")}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({}, None, id="not while the tuner asks for nothing"),
        pytest.param(
            {"needed": 3},
            "no batching of 1 replica meets the objectives, 3 would: raise spec.replicas to 3",
            id="the tuner asks for three",
        ),
        pytest.param(
            {"needed": 3, "replicas": 2}, "no batching of 2 replicas meets", id="of two replicas"
        ),
        pytest.param({"needed": 3, "replicas": 3}, None, id="there are to be three already"),
        pytest.param(
            {"unattainable": "a batch of one takes too long"},
            "no batching meets the objectives, and a batch of one takes too long: relax them, or",
            id="no number would do: why",
        ),
        pytest.param({"needed": 3, "replicas": 0}, None, id="the model is scaled to zero"),
        pytest.param(
            {"rejected": 5, **REJECT}, "requests are rejected because", id="requests are rejected"
        ),
        pytest.param(
            {"rejected": 5, "needed": 2, **REJECT},
            "no batching of 1 replica",
            id="rejections and a number: the number",
        ),
        pytest.param({"rejected": 5}, None, id="rejections that the user's own config makes"),
    ],
)
def test_needs_capacity(fields, words):
    found = shown(ConditionType.NEEDS_CAPACITY, **fields)
    if words is None:
        assert found is None
    else:
        assert found is not None
        assert found[:2] == ("True", Reason.NEEDS_CAPACITY)
        assert words in found[2]


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        pytest.param(("cpu", "tritonserver:25.06-py3"), True, id="of the class that was chosen"),
        pytest.param(("cpu", "tritonserver:26.08-py3"), False, id="none of a later image"),
        pytest.param(("gpu", "tritonserver:25.06-py3"), False, id="none of another class"),
        pytest.param(None, False, id="none without a runtime"),
    ],
)
def test_published_vulnerabilities_of_the_image_are_said(runtime, said):
    processors = [factories.runtime_processor(runtime[0], image=runtime[1])] if runtime else []
    served = factories.runtime(processors=processors) if runtime else None
    found = find(
        conditions.describe(replace(view(), runtime=served), NOW),
        ConditionType.KNOWN_VULNERABILITIES,
    )
    assert (found is not None) is said
    if found is not None:
        assert (found.status, found.reason) == ("True", Reason.PUBLISHED_ADVISORIES)
        assert found.message.startswith("the image tritonserver:25.06-py3 has a tritonserver")


def test_nothing_observed_yet_rejects_nothing():
    unseen = replace(view(**REJECT), observation=Observation(None, None, steady=True))
    assert find(conditions.describe(unseen, NOW), ConditionType.NEEDS_CAPACITY) is None


APPLYING = "what was decided last is being applied"
REFUSED = NotReady(Reason.APPLY_REFUSED, "in the server's words", stalled=True)
LATER = NOW + timedelta(seconds=60)


def described(**fields):
    """Return a status with a model's conditions."""
    return InferenceModelStatus(observed_generation=1, conditions=describe(**fields), replicas=3)


@pytest.mark.parametrize(
    ("fields", "since_s"),
    [
        pytest.param({}, 60, id="a model that serves"),
        pytest.param({"serving": READY.with_(ready_replicas=0)}, 0, id="one that is deployed"),
    ],
)
def test_what_only_the_api_server_knows_takes_the_place_of_what_was_found(fields, since_s):
    before = described(**fields, needed=3)
    found = conditions.with_problem(before, REFUSED, LATER)
    types = " ".join(c.type for c in found.conditions)
    assert types == "Ready Placed ModelLoaded ObjectivesMet Stalled NeedsCapacity"
    ready = find(found.conditions, ConditionType.READY)
    stalled = find(found.conditions, ConditionType.STALLED)
    assert (ready.status, stalled.status) == ("False", "True")
    assert {ready.reason, stalled.reason} == {"ApplyRefused"}
    assert {ready.message, stalled.message} == {"in the server's words"}
    assert {c.observed_generation for c in found.conditions} == {1}
    assert ready.last_transition_time == at(since_s)
    for kind in (ConditionType.PLACED, ConditionType.OBJECTIVES_MET, ConditionType.NEEDS_CAPACITY):
        assert find(found.conditions, kind) == find(before.conditions, kind)
    assert found.replicas == 3
    assert conditions.with_problem(found, REFUSED, LATER + timedelta(hours=1)) == found


def test_a_long_refusal_is_cut_to_what_the_api_allows_and_stays_the_same():
    long = NotReady(Reason.APPLY_REFUSED, "x" * 5000, stalled=True)
    once = conditions.with_problem(described(), long, NOW)
    assert len(find(once.conditions, ConditionType.READY).message) == 1024
    assert describe(before=once.conditions) == once.conditions
    assert conditions.with_problem(once, long, LATER) == once


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(REFUSED, id="a refusal"),
        pytest.param(NotReady(Reason.APPLYING, APPLYING, stalled=False), id="being applied"),
    ],
)
def test_what_stands_until_objects_are_applied_is_over_then(problem):
    waits = conditions.with_problem(described(), problem, NOW)
    assert describe(before=waits.conditions) == waits.conditions, "it stands"
    over = conditions.applied(waits, LATER)
    reconciling = find(over.conditions, ConditionType.RECONCILING)
    assert (reconciling.reason, find(over.conditions, ConditionType.STALLED)) == ("Deploying", None)
    ready = find(describe(before=over.conditions), ConditionType.READY)
    assert (ready.status, ready.reason) == ("True", "Serving"), "at the next look"


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(InferenceModelStatus(), id="nothing was said"),
        pytest.param(described(), id="it serves"),
        pytest.param(described(serving=READY.with_(exists=False)), id="it is new"),
    ],
)
def test_nothing_else_changes_when_objects_are_applied(status):
    assert conditions.applied(status, LATER) == status
