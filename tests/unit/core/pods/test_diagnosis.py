"""What keeps pods from serving, in words that say what to do."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.core.fetching.report import Fetched, FetchReport, Problem, encode_report
from ferryman.core.pods.diagnosis import NOTHING_WRONG, diagnose, failure, fetched

MODEL_IMAGE = "registry.example/resnet50:1"


def waiting(reason, message="", name="triton", **fields):
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": name, "image": "triton:1", "state": state, **fields}


def ended(message="", code=1, reason="Error", name="triton", **fields):
    end = {"exitCode": code, "reason": reason, "message": message}
    return {"name": name, "state": {"running": {}}, "lastState": {"terminated": end}, **fields}


def pod(*containers, init=(), conditions=(), volumes=None):
    model = {"name": "model", "image": {"reference": MODEL_IMAGE}}
    return {
        "metadata": {"name": "pod-1"},
        "spec": {"volumes": [{"name": "tmp"}, model] if volumes is None else volumes},
        "status": {
            "conditions": list(conditions),
            "initContainerStatuses": list(init),
            "containerStatuses": list(containers),
        },
    }


def unscheduled(**fields):
    return pod(conditions=[{"type": "PodScheduled", "status": "False", **fields}])


CASES = {
    "an image of the runtime that cannot be pulled": (
        pod(waiting("ImagePullBackOff", 'Back-off pulling image "triton:1"')),
        Reason.IMAGE_NOT_AVAILABLE,
        "the runtime's image triton:1 cannot be pulled: correct it in the InferenceRuntime",
    ),
    "an image name that is none": (
        pod(init=[waiting("InvalidImageName", name="layout")]),
        Reason.IMAGE_NOT_AVAILABLE,
        "InvalidImageName",
    ),
    "an image volume that cannot be pulled": (
        pod(waiting("ErrImagePull", f"failed to pull {MODEL_IMAGE}: not found")),
        Reason.MODEL_SOURCE_NOT_FOUND,
        f"the model's image {MODEL_IMAGE} cannot be pulled: correct storageUri",
    ),
    "one image volume of several, whose name begins like another's": (
        pod(
            waiting("ErrImagePull", "failed to pull registry.example/read:12: not found"),
            volumes=[
                {"name": "model-detect", "image": {"reference": "registry.example/read:1"}},
                {"name": "model-read", "image": {"reference": "registry.example/read:12"}},
                {"name": "model-join", "image": {"reference": "registry.example/join:1"}},
            ],
        ),
        Reason.MODEL_SOURCE_NOT_FOUND,
        "the model's image registry.example/read:12 cannot be pulled",
    ),
    "an image of the runtime beside a volume claim": (
        pod(waiting("ErrImagePull", "x"), volumes=[{"name": "model"}]),
        Reason.IMAGE_NOT_AVAILABLE,
        "triton:1",
    ),
    "an image in a pod without volumes": (
        pod(waiting("ErrImagePull", "x"), volumes=[]),
        Reason.IMAGE_NOT_AVAILABLE,
        "triton:1",
    ),
    "an empty model volume": (
        pod(init=[ended("the model volume is empty: put files there", name="layout")]),
        Reason.MODEL_SOURCE_NOT_FOUND,
        (
            "the model volume is empty: put files there, or see whether the nodes' container "
            "runtime mounts image volumes"
        ),
    ),
    "an empty volume claim": (
        pod(
            init=[ended("the model volume is empty: put files there", name="layout")],
            volumes=[{"name": "model", "persistentVolumeClaim": {"claimName": "c"}}],
        ),
        Reason.MODEL_SOURCE_NOT_FOUND,
        "the model volume is empty: put files there",
    ),
    "a container runtime that knows no image volumes": (
        pod(init=[waiting("CreateContainerError", 'failed to mkdir "": mkdir : no such file')]),
        Reason.MODEL_SOURCE_NOT_FOUND,
        f"the model's image {MODEL_IMAGE} was not mounted: see whether",
    ),
    "an image for another architecture": (
        pod(init=[ended("exec /bin/sh: exec format error", 255, name="layout", image="triton:1")]),
        Reason.POD_FAILING,
        (
            "container layout of pod pod-1 fails: the image triton:1 is not made for the node's "
            "processor architecture"
        ),
    ),
    "an image for another architecture that never started": (
        pod(waiting("RunContainerError", "exec: exec format error")),
        Reason.POD_FAILING,
        "the image triton:1 is not made for the node's processor architecture",
    ),
    "a folder that the claim lacks": (
        pod(waiting("CreateContainerConfigError", "failed to prepare subPath for volumeMount")),
        Reason.MODEL_SOURCE_NOT_FOUND,
        "the folder that storageUri names is not in the volume claim",
    ),
    "a claim that does not exist": (
        unscheduled(message='persistentvolumeclaim "models" not found'),
        Reason.MODEL_SOURCE_NOT_FOUND,
        "that storageUri names does not exist: create it",
    ),
    "a cache that does not exist": (
        pod(
            conditions=[
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "message": 'persistentvolumeclaim "kept" not found',
                }
            ],
            volumes=[
                {"name": "cache-0", "persistentVolumeClaim": {"claimName": "other"}},
                {"name": "cache-1", "persistentVolumeClaim": {"claimName": "kept"}},
            ],
        ),
        Reason.MODEL_SOURCE_NOT_FOUND,
        "that fetch.cache names does not exist: create it, or remove fetch.cache",
    ),
    "a pod without node": (
        unscheduled(message="0/3 nodes are available: 3 Insufficient cpu."),
        Reason.POD_UNSCHEDULABLE,
        "pod pod-1 has no node: free resources on the chosen node type",
    ),
    "a pod without node or message": (
        unscheduled(reason="Unschedulable"),
        Reason.POD_UNSCHEDULABLE,
        "Unschedulable",
    ),
    "a pod without node, message or reason": (
        unscheduled(),
        Reason.POD_UNSCHEDULABLE,
        "no node was found",
    ),
    "a layout that fails": (
        pod(init=[ended("cp: no space left", name="layout")]),
        Reason.POD_FAILING,
        "container layout of pod pod-1 fails: cp: no space left",
    ),
    "a Triton that fails again and again": (
        pod({**ended("E1121 bad argument"), **waiting("CrashLoopBackOff", "back-off 10s")}),
        Reason.POD_FAILING,
        "container triton of pod pod-1 fails: E1121 bad argument",
    ),
    "a Triton that failed without a word": (
        pod({**ended(code=3), **waiting("CrashLoopBackOff")}),
        Reason.POD_FAILING,
        "fails: exit code 3",
    ),
    "a Triton that has failed just now": (
        pod({"name": "triton", "state": {"terminated": {"exitCode": 2, "message": "no"}}}),
        Reason.POD_FAILING,
        "fails: no",
    ),
    "a container that cannot be created": (
        pod(waiting("CreateContainerError", "no such device")),
        Reason.POD_FAILING,
        "fails: no such device",
    ),
    "a container that cannot be created, without a message": (
        pod(waiting("RunContainerError")),
        Reason.POD_FAILING,
        "fails: RunContainerError",
    ),
    "too little memory": (
        pod(ended(code=137, reason="OOMKilled")),
        Reason.POD_FAILING,
        "raise spec.resources.limits.memory",
    ),
}


@pytest.mark.parametrize(("broken", "reason", "words"), CASES.values(), ids=CASES.keys())
def test_diagnosis(broken, reason, words):
    found = diagnose([broken], None)
    assert found[0] == reason
    assert words in found[1]


@pytest.mark.parametrize(
    "healthy",
    [
        pytest.param(
            pod({"name": "triton", "ready": True, "state": {"running": {}}}), id="it runs"
        ),
        pytest.param(pod(waiting("ContainerCreating")), id="it is being created"),
        pytest.param(
            pod(conditions=[{"type": "PodScheduled", "status": "True"}]), id="it has a node"
        ),
        pytest.param(pod(ended("killed", ready=True)), id="it failed once and is ready again"),
        pytest.param(
            pod(init=[{"name": "layout", "state": {"terminated": {"exitCode": 0}}}]),
            id="its layout is done",
        ),
        pytest.param({"metadata": {"name": "new"}}, id="nothing is known of it yet"),
    ],
)
def test_nothing_is_wrong(healthy):
    assert diagnose([healthy], None) == NOTHING_WRONG


def test_the_first_pod_with_a_problem_is_shown():
    good, bad = pod(), pod(ended(code=137, reason="OOMKilled"))
    assert diagnose([good, bad], None)[0] == Reason.POD_FAILING


def test_pods_that_a_quota_forbids():
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    progressing = {"type": "Progressing", "status": "True"}
    deployment = {"status": {"conditions": [progressing, failure]}}
    assert diagnose([], deployment) == (
        Reason.POD_FAILING,
        "pods cannot be created: exceeded quota",
    )
    assert diagnose([], {"status": {"conditions": [progressing]}}) == NOTHING_WRONG


def test_of_a_long_log_the_end_is_shown():
    message = diagnose([pod(ended("x" * 5000 + "the cause"))], None)[1]
    assert message.endswith("the cause")
    assert len(message) < 1024


def test_of_several_containers_the_first_that_failed_says_why():
    layout = ended("no space left", name="layout")
    triton, client = ended("no model", name="triton"), ended("no server", name="benchmark")
    assert failure(pod(client, init=[layout, triton])).endswith("fails: no space left")
    assert failure(pod(client, init=[ended(code=0, name="layout"), triton])).endswith("no model")


def test_a_pod_without_failures_has_nothing_to_say():
    assert failure(pod(waiting("PodInitializing"), init=[ended(code=0)])) == ""


def said(problem=None, detail="", code=1, *what, **fields):
    message = encode_report(FetchReport(what, problem, detail))
    return ended(message, code=code, name="fetch", **fields)


@pytest.mark.parametrize(
    ("container", "reason", "words"),
    [
        pytest.param(
            said(Problem.FORBIDDEN, "the server refuses the credentials"),
            Reason.MODEL_SOURCE_FORBIDDEN,
            "the server refuses the credentials: correct the Secret that fetch.secretName names",
            id="its own words",
        ),
        pytest.param(
            ended(reason="OOMKilled", code=137, name="fetch"),
            Reason.MODEL_SOURCE_TOO_LARGE,
            "more memory than its container has",
            id="killed for its memory",
        ),
        pytest.param(
            ended("Traceback: bug", name="fetch"),
            Reason.POD_FAILING,
            "container fetch of pod pod-1 fails: Traceback: bug",
            id="words that it does not know",
        ),
        pytest.param(said(code=1), Reason.POD_FAILING, "fetch", id="no problem, and yet it failed"),
    ],
)
def test_what_keeps_files_from_being_fetched(container, reason, words):
    found = diagnose([pod(init=[container])], None)
    assert found[0] == reason
    assert words in found[1]


def test_what_failed_before_and_is_there_now_is_no_problem():
    container = said(Problem.UNREACHABLE, "no answer", ready=True)
    assert diagnose([pod(init=[container])], None) == NOTHING_WRONG


def test_what_pods_fetched_is_told_once():
    one = Fetched("/model", f"sha256:{'a' * 64}")
    other = Fetched("/model", f"sha256:{'b' * 64}", "c0ffee")
    elsewhere = Fetched("/model/b", one.digest)
    pods = [pod(init=[said(None, "", 0, each, elsewhere)]) for each in (other, one, one)] + [
        pod(init=[ended("no report", code=0, name="fetch")]),
        pod(init=[said(Problem.UNSAFE)]),
    ]
    assert fetched(pods, "/model") == (one, other)
