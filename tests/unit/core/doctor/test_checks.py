"""Nothing is found on a sound cluster, and each planted fault by the check that is for it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from ferryman.core.doctor.checks import CHECKS, diagnose
from ferryman.core.doctor.facts import KINDS, ClusterFacts, installed
from ferryman.core.doctor.installation import NEEDED, POLICIES

ROOT = Path(__file__).parents[4]
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
JUST = "2026-01-01T11:59:50Z"
IMAGE = "nvcr.io/nvidia/tritonserver:26.08-py3"


def manifest(name, namespace=None, **fields):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"metadata": {**metadata, **fields.pop("metadata", {})}, **fields}


def workload(name, image="ferryman.dev/ferryman:0.1.0", **status):
    containers = [{"name": "it", "image": image}]
    template = {"spec": {"containers": containers}}
    return manifest(name, "ferryman-system", spec={"template": template}, status=status)


def node(name="node-1", **allocatable):
    return manifest(
        name,
        metadata={"labels": {"kubernetes.io/os": "linux"}},
        spec={},
        status={
            "allocatable": {"cpu": "8", **allocatable},
            "nodeInfo": {"containerRuntimeVersion": "containerd://2.1.4"},
        },
    )


def profile(name="node-1", **status):
    table = {"class": "cpu", "runtime": "triton", "image": IMAGE, "points": [{"batchSize": 1}]}
    return manifest(
        name,
        status={
            "nodeType": "cpu-small",
            "heartbeatTime": JUST,
            "processors": [{"class": "cpu"}],
            "benchmarks": [table],
            **status,
        },
    )


def model(uri="oci://registry.example/resnet50:1", ready=2, conditions=(), **spec):
    return manifest(
        "resnet50",
        "vision",
        spec={"model": {"storageUri": uri}, **spec},
        status={"readyReplicas": ready, "conditions": list(conditions)},
    )


def runtime(image=IMAGE, processor="cpu"):
    return manifest("triton", spec={"processors": [{"class": processor, "image": image}]})


def endpoints(ready, of=2):
    return manifest(
        "resnet50-triton-abc",
        "vision",
        metadata={"labels": {"kubernetes.io/service-name": "resnet50-triton"}},
        endpoints=[{"conditions": {"ready": number < ready}} for number in range(of)],
    )


def rules(*needed):
    return [{"apiGroups": [g], "resources": [r], "verbs": [v]} for g, r, v in needed]


SOUND = ClusterFacts(
    NOW,
    "0.1.0",
    "v1.36.3",
    objects={
        "resources": tuple(
            {"name": each}
            for each in (
                "inferencemodels",
                "inferencepipelines",
                "inferenceruntimes",
                "nodeprofiles",
            )
        ),
        "nodes": (node(),),
        "leases": (manifest("node-1", spec={"renewTime": JUST}),),
        "profiles": (profile(),),
        "runtimes": (runtime(),),
        "models": (model(),),
        "pipelines": (),
        "operators": (
            workload("ferryman-operator", conditions=[{"type": "Available", "status": "True"}]),
        ),
        "agents": (workload("ferryman-agent", desiredNumberScheduled=1, numberReady=1),),
        "roles": (manifest("ferryman-operator", rules=rules(*NEEDED)),),
        "namespaced roles": (),
        "bindings": tuple(
            manifest(name, spec={"validationActions": ["Deny"]}) for name in POLICIES
        ),
        "grants": (
            manifest("ferryman-operator", subjects=[{"namespace": "ferryman-system"}]),
            manifest("ferryman-agent", subjects=None),
        ),
        "services": (manifest("resnet50-triton", "vision", spec={"sessionAffinity": "None"}),),
        "endpoints": (endpoints(2),),
    },
    pages={"readyz": "ok\n", "metrics": 'ferryman_build_info{version="0.1.0"} 1.0\n'},
)


def with_(**objects):
    """Return the sound cluster with other objects of some kinds."""
    named = {kind.replace("_", " "): found for kind, found in objects.items()}
    return replace(SOUND, objects={**SOUND.objects, **named})


def without_the_last(kind):
    return with_(**{kind: SOUND.objects[kind][:-1]})


def with_page(name, text):
    return replace(SOUND, pages={**SOUND.pages, name: text})


def with_gpu(**labels):
    gpu = node(**{"nvidia.com/gpu": "1"})
    gpu["metadata"]["labels"] |= labels
    return gpu


LABELS = {"nvidia.com/gpu.product": "L4"}
STALLED = {"type": "Stalled", "status": "True", "reason": "PodFailing", "message": "it was killed"}
SILENT = "2026-01-01T11:50:00Z"
AHEAD = "2026-01-01T12:05:00Z"
#: A node without labels, as somebody may join it, and one that is still without a status.
BARE = {"metadata": {"name": "bare"}, "spec": {}}
OTHER_TABLE = {"class": "cpu", "runtime": "triton", "image": "triton:24.01"}


#: What is wrong, the check that finds it, words of the message or the remedy, and how many faults.
PLANTED = [
    pytest.param(
        replace(SOUND, kubernetes="v1.32.5"), "kubernetes", "1.33", id="an old Kubernetes"
    ),
    pytest.param(replace(SOUND, kubernetes=""), "kubernetes", "version", id="no version told"),
    pytest.param(
        replace(SOUND, too_large=("models: team/poisoned",)),
        "objects",
        "team/poisoned",
        id="an object that is too large to be read",
    ),
    pytest.param(without_the_last("resources"), "crds", "nodeprofiles", id="a CRD is missing"),
    pytest.param(with_(operators=()), "operator", "helm install", id="no operator"),
    pytest.param(
        with_(operators=SOUND.objects["operators"] * 2), "operator", "several", id="two operators"
    ),
    pytest.param(
        with_(operators=(workload("ferryman-operator"),)),
        "operator",
        "no pod that is ready",
        id="an operator that does not start",
    ),
    pytest.param(
        with_(agents=(workload("ferryman-agent", "registry:5000/ferryman:0.0.9"),)),
        "versions",
        "0.0.9",
        id="agents of another version",
    ),
    pytest.param(
        with_page("readyz", "the API server has not answered for 70 s"),
        "ready",
        "70 s",
        id="an operator that is not at work",
    ),
    pytest.param(with_page("metrics", "up 1"), "metrics", "8080", id="another page of metrics"),
    pytest.param(
        with_(roles=(manifest("ferryman-operator", rules=rules(*NEEDED[1:])),)),
        "permissions",
        "watch inferencemodels",
        id="a permission was taken away",
    ),
    pytest.param(
        without_the_last("bindings"), "policies", "node-labels", id="a policy is not bound"
    ),
    pytest.param(
        with_(bindings=tuple(manifest(n, spec={"validationActions": ["Audit"]}) for n in POLICIES)),
        "policies",
        "and 2 more",
        id="policies that only audit",
    ),
    pytest.param(with_(agents=()), "agents", "no DaemonSet", id="no agents"),
    pytest.param(
        with_(agents=(workload("ferryman-agent", desiredNumberScheduled=2, numberReady=1),)),
        "agents",
        "1 of 2",
        id="an agent that does not start",
    ),
    pytest.param(with_(nodes=(node(), node("node-2"))), "profiles", "node-2", id="no profile"),
    pytest.param(
        with_(profiles=(profile(heartbeatTime=SILENT),)),
        "heartbeats",
        "node-1",
        id="a silent agent",
    ),
    pytest.param(
        with_(profiles=(profile(), {"metadata": {"name": "node-2"}})),
        "heartbeats",
        "node-2",
        id="an agent that never reported",
    ),
    pytest.param(
        with_(profiles=(profile(heartbeatTime=AHEAD),)), "clocks", "NTP", id="a clock that is ahead"
    ),
    pytest.param(
        with_(leases=(manifest("node-1", spec={"renewTime": SILENT}), manifest("n", spec={}))),
        "clocks",
        "this machine",
        id="a clock of this machine's that is off",
    ),
    pytest.param(
        with_(
            nodes=(with_gpu(),),
            profiles=(profile(processors=[{"class": "gpu"}]),),
            runtimes=(runtime(processor="gpu"),),
        ),
        "gpu-labels",
        "discovery",
        id="GPUs without labels",
    ),
    pytest.param(
        with_(nodes=(with_gpu(**LABELS),)), "gpus", "NVML", id="an agent that sees no GPU"
    ),
    pytest.param(
        with_(profiles=(profile(processors=[{"class": "cpu", "unavailable": "XID 79"}]),)),
        "processors",
        "XID 79",
        id="a processor that is out of use",
    ),
    pytest.param(with_(runtimes=()), "runtimes", "no InferenceRuntime", id="no runtime"),
    pytest.param(
        with_(profiles=(profile(processors=[{"class": "cpu"}, {"class": "npu"}]),)),
        "runtimes",
        "npu",
        id="a class that no runtime serves",
    ),
    pytest.param(
        with_(
            runtimes=(runtime("nvcr.io/nvidia/tritonserver:25.01-py3"),),
            profiles=(profile(benchmarks=[]),),
        ),
        "advisories",
        "CVE-2025-23319",
        id="a Triton with published advisories",
    ),
    pytest.param(
        replace(SOUND, kubernetes="v1.34.0"), "image-volumes", "gate", id="image volumes are off"
    ),
    pytest.param(
        with_(
            nodes=(
                {
                    **node(),
                    "status": {"nodeInfo": {"containerRuntimeVersion": "containerd://1.7.2"}},
                },
            )
        ),
        "image-volumes",
        "containerd://1.7.2",
        id="a container runtime that mounts no images",
    ),
    pytest.param(
        with_(profiles=(profile(benchmarks=[{**OTHER_TABLE, "error": "it timed out"}]),)),
        "benchmarks",
        "it timed out",
        id="a benchmark that failed",
    ),
    pytest.param(
        with_(profiles=(profile(benchmarks=[OTHER_TABLE]),)),
        "benchmarks",
        "serves no more",
        id="a benchmark of an image of before",
    ),
    pytest.param(
        with_(models=(model(placement={"policy": "Cheapest"}),)),
        "prices",
        "cpu-small",
        id="no price where one is asked for",
    ),
    pytest.param(
        with_(models=(model(conditions=[STALLED]),)), "models", "PodFailing", id="a stalled model"
    ),
    pytest.param(
        with_(endpoints=(endpoints(1),)),
        "services",
        "1 of 2",
        id="a Service that lacks one",
    ),
    pytest.param(
        with_(services=(manifest("s", "vision", spec={"sessionAffinity": "ClientIP"}),)),
        "services",
        "sessionAffinity",
        id="a Service that keeps clients at one pod",
    ),
]


def test_the_installations_own_are_those_of_the_namespace_that_its_binding_names():
    own, foreign = workload("ferryman-operator"), manifest("ferryman-operator", "a-team")
    assert installed([foreign, own], SOUND.objects["grants"]) == (own,)
    assert installed([foreign, own], ()) == ()


def faults(facts):
    return [each for each in diagnose(facts) if each.verdict == "fault"]


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(SOUND, id="as it is"),
        pytest.param(
            with_(
                nodes=(
                    node(),
                    BARE,
                    {**node("out"), "spec": {"unschedulable": True}},
                    {
                        "metadata": {
                            "name": "plane",
                            "labels": {
                                "kubernetes.io/os": "linux",
                                "node-role.kubernetes.io/control-plane": "",
                            },
                        },
                        "spec": {},
                    },
                )
            ),
            id="nodes that take no models",
        ),
        pytest.param(
            with_(
                nodes=(
                    {
                        **with_gpu(**LABELS),
                        "status": {
                            "nodeInfo": {"containerRuntimeVersion": "docker://20"},
                            "allocatable": {"nvidia.com/gpu": "1"},
                        },
                    },
                ),
                profiles=(profile(processors=[{"class": "gpu"}]),),
                runtimes=(runtime(processor="gpu"),),
            ),
            id="a GPU, and a container runtime of which nothing is known",
        ),
        pytest.param(
            replace(
                with_(models=(model("pvc://resnet50", placement={"policy": "Cheapest"}),)),
                kubernetes="v1.34.0",
            ),
            id="models from claims need no image volumes, and lack prices",
        ),
        pytest.param(
            with_(
                models=(model(placement={"policy": "Cheapest"}),),
                profiles=(profile(pricePerHour=1.0),),
            ),
            id="prices where they are asked for",
        ),
        pytest.param(
            with_(
                roles=(manifest("other", rules=None),),
                namespaced_roles=(manifest("ferryman-models", "a", rules=rules(*NEEDED)),),
            ),
            id="permissions by roles of namespaces",
        ),
        pytest.param(
            with_(
                operators=(
                    workload(
                        "ferryman-operator",
                        f"ferryman.dev/ferryman@sha256:{'a' * 64}",
                        conditions=[{"type": "Available", "status": "True"}],
                    ),
                )
            ),
            id="a digest tells no version",
        ),
    ],
)
def test_on_a_sound_cluster_nothing_is_found(facts):
    expected = {"prices"} if facts.kubernetes == "v1.34.0" else set()

    assert {each.check for each in faults(facts)} == expected
    assert {each.check for each in diagnose(facts)} == {check.name for check in CHECKS}


@pytest.mark.parametrize(("facts", "check", "words"), PLANTED)
def test_a_planted_fault_is_found_with_what_to_do(facts, check, words):
    found = [each for each in faults(facts) if each.check == check]

    assert found
    assert words in " ".join(f"{each.message} {each.remedy}" for each in found)
    assert all(each.remedy for each in found)


def test_every_check_has_a_planted_fault():
    assert {case.values[1] for case in PLANTED} == {check.name for check in CHECKS}
    assert len(CHECKS) >= 15


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_what_could_not_be_read_is_unknown_and_no_fault(check):
    facts = replace(SOUND, objects={}, unread=dict.fromkeys(check.needs, "forbidden"), pages={})
    [found] = [each for each in diagnose(facts) if each.check == check.name][:1]

    assert found.verdict == ("unknown" if check.needs else "ok")
    assert set(check.needs) <= {*KINDS, "resources", "readyz", "metrics"}


def test_the_rules_and_policies_that_are_looked_for_are_those_of_the_installation():
    text = (ROOT / "manifests" / "base" / "ferryman.yaml").read_text(encoding="utf-8")
    installed = [each for each in yaml.safe_load_all(text) if each]
    facts = with_(
        roles=tuple(each for each in installed if each["kind"] == "ClusterRole"),
        bindings=tuple(
            each for each in installed if each["kind"] == "ValidatingAdmissionPolicyBinding"
        ),
    )

    assert faults(facts) == []
    assert len(facts.of("bindings")) == len(POLICIES)
