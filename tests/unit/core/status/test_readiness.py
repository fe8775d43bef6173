"""Why a model is not ready, and whether a person must act."""

import pytest

from ferryman.api.conditions import Condition, ConditionType, Reason
from ferryman.api.inference_model_status import (
    CandidateStatus,
    InferenceModelStatus,
    ObservedStatus,
    PlacementStatus,
)
from ferryman.core.errors import RejectedError
from ferryman.core.snapshot import ServingState
from ferryman.core.status.observed import Observation
from ferryman.core.status.readiness import (
    View,
    find_problem,
    settled_replicas,
    still_serves,
    why_not_applied,
)
from tests import factories
from tests.factories import at

PLACED = PlacementStatus(node_type="cpu-small", processor="cpu", reason="X", message="x")
SERVES = ServingState(
    exists=True, desired_replicas=2, ready_replicas=2, updated_replicas=2, model_ready=True
)
NOTHING = ServingState()


def served(reason="Serving", message="", *, generation=1, place=PLACED):
    """Return the status in which a model was found last, under which specification."""
    ready = Condition(
        type=ConditionType.READY,
        status="True" if reason == "Serving" else "False",
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=at(-60),
    )
    return InferenceModelStatus(conditions=(ready,), placement=place)


def problem(
    state=SERVES, *, placement=PLACED, rejection=None, runtime=None, replicas=2, before=None
):
    return find_problem(
        View(
            model=factories.model(replicas=replicas, status=before or served()),
            runtime=runtime or factories.runtime(),
            placement=placement,
            serving=state,
            rejection=rejection,
            observation=Observation(None, None, steady=True),
        )
    )


@pytest.mark.parametrize(
    ("before", "state", "reason"),
    [
        pytest.param(served("Deploying"), SERVES, "Measuring", id="it was not ready: it waits"),
        pytest.param(InferenceModelStatus(placement=PLACED), SERVES, "Applying", id="a new one"),
        pytest.param(served(), SERVES, None, id="it was ready: nobody waits"),
        pytest.param(
            served("Deploying").with_(observed=ObservedStatus()), SERVES, None, id="clients know it"
        ),
        pytest.param(
            served("Deploying"), SERVES.with_(ready_replicas=1), "Deploying", id="what matters more"
        ),
    ],
)
def test_a_model_that_is_being_measured(before, state, reason):
    view = View(
        model=factories.model(replicas=2, status=before),
        runtime=factories.runtime(),
        placement=PLACED,
        serving=state,
        rejection=None,
        observation=Observation(None, None, steady=True),
        is_measured=True,
    )
    found = find_problem(view)
    assert (found and found.reason) == reason
    assert found is None or not found.stalled


def nowhere(*reasons, reason=Reason.NO_CANDIDATE):
    candidates = tuple(
        CandidateStatus(node_type=f"t{i}", processor="cpu", reason=r, message="")
        for i, r in enumerate(reasons)
    )
    return PlacementStatus(reason=reason, message="nowhere", candidates=candidates)


def test_a_model_that_serves_has_none():
    assert problem() is None


def test_a_rejected_specification_comes_first():
    found = problem(NOTHING, rejection=RejectedError(Reason.RUNTIME_NOT_FOUND, "create it"))
    assert (found.reason, found.message, found.stalled) == ("RuntimeNotFound", "create it", True)


@pytest.mark.parametrize(
    ("placement", "measured", "reason", "stalled"),
    [
        pytest.param(
            nowhere("NotBenchmarked", "ProfileStale"),
            True,
            Reason.NOT_BENCHMARKED,
            False,
            id="a benchmark is on its way",
        ),
        pytest.param(
            nowhere("NotBenchmarked"),
            False,
            Reason.NOT_BENCHMARKED,
            True,
            id="no benchmark will come: the runtime has none",
        ),
        pytest.param(
            nowhere("FormatNotSupported", "FormatNotSupported"),
            True,
            Reason.FORMAT_NOT_SUPPORTED,
            True,
            id="one reason for all candidates is the reason",
        ),
        pytest.param(
            nowhere("BenchmarkFailed", "ProfileStale"),
            True,
            Reason.NO_CANDIDATE,
            True,
            id="several reasons: no candidate",
        ),
        pytest.param(nowhere(), True, Reason.NO_CANDIDATE, True, id="no nodes at all"),
        pytest.param(
            nowhere("NoNodeProfile", reason=Reason.NO_NODE_PROFILE),
            True,
            Reason.NO_NODE_PROFILE,
            False,
            id="agents have not reported yet",
        ),
    ],
)
def test_not_placed(placement, measured, reason, stalled):
    found = problem(NOTHING, placement=placement, runtime=factories.runtime(measured=measured))
    assert (found.reason, found.stalled) == (reason, stalled)
    assert found.message.endswith("nowhere")


def test_what_serves_keeps_serving_where_nothing_can_be_placed():
    message = problem(placement=nowhere("ProfileStale")).message
    assert message == "nowhere; what served before keeps serving"


@pytest.mark.parametrize(
    ("ready", "words"),
    [
        pytest.param(1, "no key: x; what served before keeps serving", id="a pod of before"),
        pytest.param(0, "no key: x", id="none"),
    ],
)
def test_what_serves_keeps_serving_where_new_pods_have_a_problem(ready, words):
    state = SERVES.with_(
        problem_reason="ModelSourceForbidden", problem_message="no key: x", ready_replicas=ready
    )
    assert problem(state).message == words


@pytest.mark.parametrize(
    ("fields", "reason", "stalled"),
    [
        pytest.param(
            {"problem_reason": "ImageNotAvailable"}, "ImageNotAvailable", True, id="no image"
        ),
        pytest.param(
            {"problem_reason": "PodUnschedulable"}, "PodUnschedulable", False, id="no node yet"
        ),
        pytest.param(
            {"problem_reason": "PodUnschedulable", "progress_deadline_exceeded": True},
            "PodUnschedulable",
            True,
            id="no node for ten minutes",
        ),
        pytest.param(
            {"model_ready": False, "model_message": "UNAVAILABLE: x"},
            "ModelLoadFailed",
            True,
            id="Triton refuses the model",
        ),
        pytest.param({"model_ready": False}, "ModelLoading", False, id="Triton loads the model"),
        pytest.param(
            {"progress_deadline_exceeded": True}, "ProgressDeadlineExceeded", True, id="stuck"
        ),
        pytest.param({"exists": False}, "Deploying", False, id="no Deployment yet"),
        pytest.param({"ready_replicas": 1}, "Deploying", False, id="a replica is missing"),
        pytest.param({"updated_replicas": 1}, "Deploying", False, id="a replica is of yesterday"),
        pytest.param({"desired_replicas": 3}, "Deploying", False, id="another number was asked"),
        pytest.param(
            {"pods": tuple(factories.pod(name) for name in "abc")},
            "Deploying",
            False,
            id="a replica of yesterday is still there",
        ),
    ],
)
def test_serving(fields, reason, stalled):
    state = SERVES.with_(**fields)
    found = problem(state)
    assert (found.reason, found.stalled) == (reason, stalled)
    assert problem(state, replicas=0) is None


def test_deploying_counts_replicas():
    state = SERVES.with_(ready_replicas=1, updated_replicas=1)
    assert problem(state).message == (
        "1 of 2 replicas are ready, 1 are updated to what is specified now, on cpu-small"
    )
    assert problem(NOTHING).message == "0 of 2 replicas are ready, on cpu-small"
    beside = SERVES.with_(pods=tuple(factories.pod(name) for name in "abc"))
    assert problem(beside).message == (
        "2 of 2 replicas are ready, 1 of before are still there, on cpu-small"
    )


ELSEWHERE = PLACED.with_(node_type="cpu-large")


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(InferenceModelStatus(), id="nothing was said yet"),
        pytest.param(served(generation=0), id="only of another specification"),
        pytest.param(served("ApplyRefused", generation=0), id="another one was refused"),
        pytest.param(served("Applying"), id="it was begun, and not finished"),
        pytest.param(served("RuntimeNotFound"), id="it could not be served until now"),
        pytest.param(served(place=None), id="it had no status"),
        pytest.param(served(place=nowhere("ProfileStale")), id="it had no place"),
        pytest.param(served(place=ELSEWHERE), id="it was elsewhere"),
    ],
)
def test_what_serves_does_not_count_before_what_was_decided_is_applied(before):
    failing = SERVES.with_(problem_reason="PodFailing")
    for state in (SERVES, failing):
        found = problem(state, before=before)
        assert (found.reason, found.message, found.stalled) == (
            "Applying",
            "what was decided last is being applied",
            False,
        )
    assert problem(NOTHING, before=before).message.startswith("0 of 2 replicas are ready")
    assert problem(before=before, replicas=0) is None


@pytest.mark.parametrize("reason", ["Deploying", "PodFailing", "ModelLoading", "ScaledToZero"])
def test_what_is_said_of_pods_is_said_of_what_was_applied(reason):
    assert problem(before=served(reason)) is None


@pytest.mark.parametrize("reason", ["NameTaken", "ApplyRefused"])
def test_a_refusal_stands_until_the_status_is_rid_of_it(reason):
    before = served(reason, "in the server's words")
    for state, replicas in ((SERVES, 2), (NOTHING, 2), (NOTHING, 0)):
        found = problem(state, before=before, replicas=replicas)
        assert (found.reason, found.message, found.stalled) == (
            reason,
            "in the server's words",
            True,
        )


def test_what_is_rejected_or_has_no_place_comes_before_a_refusal():
    before = served("ApplyRefused")
    rejection = RejectedError(Reason.RUNTIME_NOT_FOUND, "create it")
    assert problem(before=before, rejection=rejection).reason == "RuntimeNotFound"
    assert problem(before=before, placement=nowhere("ProfileStale")).reason == "ProfileStale"


@pytest.mark.parametrize(
    ("before", "refused"),
    [
        pytest.param(InferenceModelStatus(), False, id="nothing was said"),
        pytest.param(served(), False, id="it serves"),
        pytest.param(served("ApplyRefused"), True, id="refused"),
        pytest.param(served("ApplyRefused", generation=0), False, id="another specification was"),
    ],
)
def test_refusal(before, refused):
    assert (why_not_applied(factories.model(status=before)) is not None) == refused


# More replicas, or fewer

FOUR_OF_TWO = SERVES.with_(desired_replicas=4, updated_replicas=4)
DIGEST = "what it is, whatever its number"


def view(state, replicas=4, *, settled=2, specification=DIGEST, rejection=None, **fields):
    """Return what is seen of a model of which two replicas served and four are asked for."""
    before = served(**fields).with_(settled_replicas=settled, specification=DIGEST)
    return View(
        model=factories.model(replicas=replicas, status=before),
        runtime=factories.runtime(),
        placement=PLACED,
        serving=state,
        rejection=rejection,
        observation=Observation(None, None, steady=True),
        specification=specification,
    )


@pytest.mark.parametrize(
    ("given_view", "ready"),
    [
        pytest.param(view(FOUR_OF_TWO), True, id="those of before serve, more are on their way"),
        pytest.param(view(FOUR_OF_TWO, generation=0), True, id="an autoscaler wrote the number"),
        pytest.param(
            view(FOUR_OF_TWO, generation=0, specification="another"), False, id="more was changed"
        ),
        pytest.param(view(FOUR_OF_TWO, settled=0), False, id="it never served"),
        pytest.param(view(FOUR_OF_TWO, settled=4), False, id="four served, and two are gone"),
        pytest.param(view(FOUR_OF_TWO.with_(ready_replicas=1)), False, id="one of before is gone"),
        pytest.param(
            view(FOUR_OF_TWO.with_(updated_replicas=1)), False, id="another version rolls out, too"
        ),
        pytest.param(
            view(FOUR_OF_TWO.with_(updated_replicas=0, observed=False)),
            True,
            id="nobody has looked at the new number",
        ),
        pytest.param(view(FOUR_OF_TWO.with_(exists=False)), False, id="the Deployment is gone"),
        pytest.param(
            view(FOUR_OF_TWO.with_(problem_reason="PodUnschedulable")), True, id="no room for more"
        ),
        pytest.param(
            view(FOUR_OF_TWO, rejection=RejectedError(Reason.INVALID_SPEC, "no")),
            False,
            id="what is specified now cannot be served",
        ),
        pytest.param(view(FOUR_OF_TWO, reason="Applying"), False, id="it is not applied"),
        pytest.param(view(FOUR_OF_TWO, place=ELSEWHERE), False, id="it moves"),
        pytest.param(view(SERVES, 1, settled=2), True, id="fewer are asked for, and as many serve"),
        pytest.param(view(SERVES, 0, settled=2), False, id="none are asked for"),
    ],
)
def test_another_number_of_replicas_takes_nothing_from_those_that_serve(given_view, ready):
    assert still_serves(given_view) == ready


@pytest.mark.parametrize(
    ("given_view", "settled"),
    [
        pytest.param(view(SERVES, 2, settled=0), 2, id="all serve"),
        pytest.param(view(FOUR_OF_TWO), 2, id="more are on their way: those of before"),
        pytest.param(view(FOUR_OF_TWO, specification="another", generation=0), 0, id="of another"),
    ],
)
def test_how_many_served_when_all_did(given_view, settled):
    assert settled_replicas(given_view) == settled
