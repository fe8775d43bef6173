"""What serves a model, read from its Deployment, its pods and their Tritons."""

import pytest

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.model_fetch import SourceStatus
from ferryman.api.statistics import ServerModel
from ferryman.core.fetching.report import Fetched, FetchReport, encode_report
from ferryman.core.pods.state import serving_state
from ferryman.core.render.slots import slot
from ferryman.core.snapshot import LiveCapView, PodView, ServingState

EIGHT = Batching(max_batch_size=8)
CAP = "serving.ferryman.dev/max-batch-size"
STUCK = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


def pod(name="a", *, ready="True", phase="Running", **metadata):
    return {
        "metadata": {"name": name, **metadata},
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": phase,
            "podIP": "10.0.0.1",
            "conditions": [
                {"type": "Initialized", "status": "True"},
                {"type": "Ready", "status": ready},
            ],
        },
    }


def deployment(observed=2, **status):
    return {
        "metadata": {"generation": 2},
        "spec": {"replicas": 2},
        "status": {
            "observedGeneration": observed,
            "readyReplicas": 1,
            "updatedReplicas": 2,
            **status,
        },
    }


def test_nothing_serves_without_a_deployment():
    assert serving_state(None, [], {}) == ServingState()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(deployment(), (2, 1, 2, False), id="a rollout under way"),
        pytest.param(deployment(conditions=[STUCK]), (2, 1, 2, True), id="one that is stuck"),
        pytest.param(
            deployment(conditions=[{**STUCK, "reason": "ReplicaSetUpdated"}]),
            (2, 1, 2, False),
            id="one that makes progress",
        ),
        pytest.param(
            deployment(observed=1, conditions=[STUCK]),
            (2, 1, 0, False),
            id="a generation that nobody has looked at yet",
        ),
        pytest.param({"metadata": {}}, (1, 0, 0, False), id="a Deployment made just now"),
    ],
)
def test_the_rollout(found, expected):
    state = serving_state(found, [], {})
    assert state.exists
    assert (
        state.desired_replicas,
        state.ready_replicas,
        state.updated_replicas,
        state.progress_deadline_exceeded,
    ) == expected


def test_pods_are_seen_with_what_their_triton_says():
    pods = [pod("b", ready="False"), pod("a"), {"metadata": {"name": "c"}}]
    answers = {
        "a": ServerModel(ready=True, batching=EIGHT, instances_known=False),
        "b": ServerModel(ready=False, reason="UNAVAILABLE: bad model"),
    }
    state = serving_state(deployment(), pods, answers)
    assert state.pods == (
        PodView(
            name="a",
            ip="10.0.0.1",
            node="node-1",
            ready=True,
            batching=EIGHT,
            instances_known=False,
        ),
        PodView(name="b", ip="10.0.0.1", node="node-1"),
        PodView(name="c"),
    )
    assert (state.model_ready, state.model_message) == (False, "UNAVAILABLE: bad model")


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(pod("b", deletionTimestamp="2026-11-21T13:00:00Z"), id="being deleted"),
        pytest.param(pod("b", phase="Failed"), id="evicted"),
    ],
)
def test_pods_that_end_are_left_out_with_what_they_say(gone):
    answers = {"a": ServerModel(ready=True, batching=EIGHT), "b": ServerModel(ready=False)}
    state = serving_state(deployment(), [gone, pod("a")], answers)
    assert [view.name for view in state.pods] == ["a"]
    assert state.model_ready is True


CAPPED = ServerModel(ready=True, batching=EIGHT, largest_batch_size=64)


def pod_with_live_cap(annotation=None):
    made = pod(annotations={} if annotation is None else {CAP: annotation})
    made["spec"]["volumes"] = [{"name": "model"}, projecting("max-batch-size")]
    return made


def projecting(*paths):
    return {"name": "live-cap", "downwardAPI": {"items": [{"path": path} for path in paths]}}


@pytest.mark.parametrize(
    ("annotation", "bound"),
    [
        pytest.param(None, 8, id="no annotation: where it starts"),
        pytest.param("16", 16, id="the annotation"),
        pytest.param("garbled", 64, id="garbled: Triton's own"),
        pytest.param("1000", 64, id="beyond Triton's own"),
    ],
)
def test_a_pods_annotation_is_its_live_cap(annotation, bound):
    found = serving_state(deployment(), [pod_with_live_cap(annotation)], {"a": CAPPED}).pods[0]
    assert found.batching == Batching(max_batch_size=bound)
    assert found.live_cap == LiveCapView(loaded=EIGHT, largest=64)
    assert found.takes_live_cap


def test_of_several_models_each_has_a_live_cap_of_its_own():
    made = pod(annotations={f"{CAP}.detect": "16", f"{CAP}.read": "4", CAP: "2"})
    made["spec"]["volumes"] = [projecting("detect", "read")]
    steps = ("detect", "read", "crop")
    detect, read, crop = (
        serving_state(deployment(), [made], {"a": CAPPED}, slot(step)).pods[0] for step in steps
    )
    assert (detect.batching.max_batch_size, read.batching.max_batch_size) == (16, 4)
    assert (detect.takes_live_cap, crop.takes_live_cap, crop.live_cap) == (True, False, None)


def test_preferred_sizes_beyond_the_live_cap_do_not_show():
    loaded = Batching(max_batch_size=16, preferred_batch_size=(4, 12))
    answer = ServerModel(ready=True, batching=loaded, largest_batch_size=64)
    found = serving_state(deployment(), [pod_with_live_cap("8")], {"a": answer}).pods[0]
    assert found.batching == Batching(max_batch_size=8, preferred_batch_size=(4,))
    assert found.live_cap.loaded == loaded


def test_a_pod_that_was_not_made_for_a_live_cap_has_none():
    found = serving_state(deployment(), [pod(annotations={CAP: "16"})], {"a": CAPPED}).pods[0]
    assert (found.batching, found.live_cap, found.takes_live_cap) == (EIGHT, None, False)


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param({}, id="no answer"),
        pytest.param({"a": ServerModel(ready=False)}, id="a model that is not ready"),
        pytest.param({"a": ServerModel(ready=True, batching=EIGHT)}, id="loaded without one"),
    ],
)
def test_a_pod_made_for_a_live_cap_may_run_without(answers):
    found = serving_state(deployment(), [pod_with_live_cap("16")], answers).pods[0]
    assert (found.live_cap, found.takes_live_cap) == (None, True)
    assert found.batching in {None, EIGHT}


def test_what_triton_says_of_the_inputs_is_kept():
    plain, special = (
        ServerModel(ready=True, batching=EIGHT, variable_inputs=said, shape_tensors=said)
        for said in (False, True)
    )
    for answer, expected in ((plain, False), (special, True)):
        state = serving_state(deployment(), [pod()], {"a": answer})
        assert (state.variable_inputs, state.shape_tensors) == (expected, expected)


def test_nobody_answers_is_not_the_same_as_not_ready():
    assert serving_state(deployment(), [pod()], {}).model_ready is None


def test_a_model_that_one_pod_cannot_batch_is_not_batchable():
    answers = {"a": ServerModel(ready=True, batchable=False)}
    assert serving_state(deployment(), [pod()], answers).batchable is False


def test_the_pod_that_waits_longest_for_a_node_tells_since_when():
    def waiting(name, since):
        found = pod(name, ready="False")
        condition = {"type": "PodScheduled", "status": "False", "lastTransitionTime": since}
        found["status"]["conditions"].append(condition)
        return found

    early, late = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"
    pods = [pod("a"), waiting("b", late), waiting("c", early), waiting("d", None)]
    assert serving_state(deployment(), pods, {}).unscheduled_since == early
    assert serving_state(deployment(), pods[:1], {}).unscheduled_since is None


def test_a_pods_problem_is_shown():
    broken = pod(ready="False")
    broken["status"]["containerStatuses"] = [
        {"name": "triton", "state": {"waiting": {"reason": "ErrImagePull"}}}
    ]
    state = serving_state(deployment(), [broken], {})
    assert state.problem_reason == Reason.IMAGE_NOT_AVAILABLE
    assert "ErrImagePull" in state.problem_message


def test_a_pod_shows_which_configuration_it_was_made_for():
    made = pod(annotations={"serving.ferryman.dev/config-hash": "abc"})
    shown = serving_state(None, [made, pod("b")], {}).pods
    assert [view.config_hash for view in shown] == ["abc", ""]


def fetching_pod(name, *digests, model="/model"):
    what = tuple(Fetched(model, f"sha256:{each * 64}", "c0ffee") for each in digests)
    end = {"exitCode": 0, "message": encode_report(FetchReport(what))}
    found = pod(name)
    found["status"]["initContainerStatuses"] = [
        {"name": "fetch", "ready": True, "state": {"terminated": end}}
    ]
    return found


def test_what_pods_fetched_is_told_and_where_they_differ():
    same = [fetching_pod("a", "1"), fetching_pod("b", "1")]
    assert serving_state(None, same, {}).source == SourceStatus(
        digests=(f"sha256:{'1' * 64}",), revisions=("c0ffee",)
    )
    differ = serving_state(None, [*same, fetching_pod("c", "2")], {}).source
    assert differ is not None
    assert len(differ.digests) == 2
    assert serving_state(None, [pod()], {}).source is None
    assert serving_state(None, same, {}, slot("another")).source is None
