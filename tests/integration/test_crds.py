import copy
import json
import math

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import client, config

from ferryman.api import names, resources
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from hack.docs import examples
from hack.generate.crds import crd_documents
from hack.manifests import ROOT, render_chart
from tests.integration import crd_cases
from tests.integration.controlplane import ControlPlane
from tests.integration.crd_cases import ABSENT, MODEL, PIPELINE, PROFILE, RUNTIME, changed
from tests.unit.core.importing.any_sources import OUTCOMES

pytestmark = pytest.mark.integration

NAMESPACED = {resource.kind for resource in resources.ALL if resource.scope == "Namespaced"}


STRICT = {"field_validation": "Strict"}


class Refused(Exception):  # noqa: N818  # it reads as what happened
    """The API server's answer to an object that it did not take."""


class Api:
    """The API of one control plane, strict about unknown fields; it stores nothing by default."""

    def __init__(self, connection):
        self._objects = client.CustomObjectsApi(connection)

    def create(self, document, *, dry_run=True):
        """Create an object and return it as the server sees it, defaults filled in."""
        plural = resources.PLURALS[document["kind"]]
        options = STRICT | ({"dry_run": "All"} if dry_run else {})
        if document["kind"] in NAMESPACED:
            place = (names.GROUP, names.VERSION, "default", plural)
            create = self._objects.create_namespaced_custom_object
        else:
            place = (names.GROUP, names.VERSION, plural)
            create = self._objects.create_cluster_custom_object
        return _ask(create, *place, document, **options)

    def write_status(self, document):
        """Replace the status of an object that exists; creation drops it, as for every kind."""
        plural, name = resources.PLURALS[document["kind"]], document["metadata"]["name"]
        replace = self._objects.replace_cluster_custom_object_status
        place = (names.GROUP, names.VERSION, plural, name)
        return _ask(replace, *place, document, dry_run="All", **STRICT)


def _ask(call, *arguments, **options):
    try:
        return call(*arguments, **options)
    except client.ApiException as error:
        raise Refused(json.loads(error.body)["message"]) from error


@pytest.fixture(scope="module")
def plane():
    with ControlPlane.start() as running:
        running.kubectl("apply", "--server-side", "-f", "crds/")
        running.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", "crds/")
        yield running


@pytest.fixture(scope="module")
def api(plane):
    with config.new_client_from_config(config_file=str(plane.kubeconfig)) as connection:
        yield Api(connection)


@pytest.fixture(scope="module")
def profile(api):
    """Store a profile without a status."""
    return api.create(changed(PROFILE, {"status": ABSENT}), dry_run=False)


def _current(document, stored):
    return document | {"metadata": stored["metadata"]}


def _cases(cases):
    return [pytest.param(case, id=case.title) for case in cases]


def _cases_of_pages():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        pytest.param(document, id=f"{page.name}:{line}")
        for page in pages
        for line, document in examples.objects(page)
    ]


@pytest.mark.parametrize("case", _cases(crd_cases.MODELS))
def test_an_invalid_model_is_refused_with_the_field_and_the_remedy(api, case):
    _check(api, case)


@pytest.mark.parametrize("case", _cases(crd_cases.PIPELINES))
def test_an_invalid_pipeline_is_refused_with_the_field_and_the_remedy(api, case):
    _check(api, case)


@pytest.mark.parametrize("case", _cases(crd_cases.RUNTIMES))
def test_an_invalid_runtime_is_refused_with_the_field_and_the_remedy(api, case):
    _check(api, case)


@pytest.mark.parametrize("case", _cases(crd_cases.PROFILES))
def test_an_invalid_profile_is_refused_with_the_field_and_the_remedy(api, profile, case):
    with pytest.raises(Refused) as refusal:
        api.write_status(_current(case.document(), profile))
    answer = str(refusal.value)
    assert case.path in answer
    assert case.words in answer


def _check(api, case):
    with pytest.raises(Refused) as refusal:
        api.create(case.document())
    answer = str(refusal.value)
    assert case.path in answer
    assert case.words in answer


@pytest.mark.parametrize("kind", OUTCOMES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_import_prints_is_accepted(api, kind, data):
    for imported in data.draw(OUTCOMES[kind]):
        if imported.manifest is not None:
            found = copy.deepcopy(imported.manifest)
            found["metadata"].pop("namespace", None)
            assert api.create(found)


@pytest.mark.parametrize("number", [math.nan, math.inf], ids=["not a number", "infinity"])
def test_what_is_no_json_number_is_refused(api, profile, number):
    with pytest.raises(Refused, match="invalid character"):
        api.write_status(changed(PROFILE, {"status/processors/0/utilisation": number}))


@pytest.mark.parametrize("uri", crd_cases.GOOD_URIS)
def test_a_storage_uri_of_a_supported_form_is_accepted(api, uri):
    created = api.create(changed(MODEL, {"spec/model/storageUri": uri}))
    assert created["spec"]["model"]["storageUri"] == uri


@pytest.mark.parametrize("document", _cases_of_pages())
def test_what_pages_have_readers_apply_is_accepted(api, document):
    assert api.create(document)["kind"] == document["kind"]


def test_the_smallest_model_gets_the_defaults_of_the_types(api):
    created = api.create(MODEL)
    filled = InferenceModel.model_validate(MODEL).spec.as_dict()
    for empty in (
        filled["model"],
        filled["placement"],
        filled["access"],
    ):  # empty lists and maps are not stored
        for key in [key for key, value in empty.items() if value in ({}, [])]:
            del empty[key]
    del filled["pod"]  # nor is what is empty as a whole
    assert created["spec"] == filled


def test_the_smallest_pipeline_gets_the_defaults_of_the_types(api):
    created = api.create(PIPELINE)
    read, written = (InferencePipeline.model_validate(each) for each in (created, PIPELINE))
    assert read.spec == written.spec
    assert created["spec"]["balancing"]["onOverload"] == "Reject"
    assert created["spec"]["balancing"]["limits"]["instances"] == {"min": 1, "max": 4}


@pytest.mark.parametrize("accuracy", ["0", "1", "1.0", "0.97", "0.000001"])
def test_an_accuracy_is_a_decimal_from_0_to_1(api, accuracy):
    created = api.create(changed(PIPELINE, {"spec/accuracyFloor": accuracy}))
    assert created["spec"]["accuracyFloor"] == accuracy


@pytest.mark.parametrize("tensor", ["y", "y.0", "input:0", "a/b/c", "größe"])
def test_a_wire_may_read_whatever_models_call_their_tensors(api, tensor):
    created = api.create(changed(PIPELINE, {"spec/steps/1/inputMap": {"x": f"detect.{tensor}"}}))
    assert created["spec"]["steps"][1]["inputMap"] == {"x": f"detect.{tensor}"}


def test_the_longest_pipeline_is_accepted(api):
    """With 32 steps that state all they can, no rule is too dear for the API server."""
    step = {
        **PIPELINE["spec"]["steps"][0],
        "inputMap": {f"input-{n}": "image" for n in range(32)},
        "initial": {"instances": 4, "maxBatchSize": 8},
        "limits": {"instances": {"max": 8}, "maxBatchSize": {"max": 16}},
    }
    steps = [step | {"name": f"step-{n}"} for n in range(32)]
    created = api.create(changed(PIPELINE, {"spec/steps": steps}))
    assert len(created["spec"]["steps"]) == 32


def test_a_new_model_says_that_no_operator_has_looked_and_a_status_takes_its_place(plane, api):
    document = changed(MODEL, {"metadata/name": "unseen"})
    api.create(document, dry_run=False)
    read = ("get", "imodel", "unseen", "--output=json")
    assert json.loads(plane.kubectl(*read))["status"] == {"observedGeneration": -1}

    seen = {"status": {"observedGeneration": 1, "replicas": 1}}
    patch = json.dumps({**document, **seen})
    how = ("--server-side", "--subresource=status", "--filename=-")
    plane.kubectl("apply", *how, stdin=patch)
    assert json.loads(plane.kubectl(*read))["status"] == seen["status"]


def test_the_smallest_runtime_gets_the_defaults_of_the_types(api):
    created = api.create(RUNTIME)
    assert created["spec"]["imagePullPolicy"] == "IfNotPresent"
    assert created["spec"]["processors"][0]["instanceKind"] == "KIND_AUTO"
    read, written = (InferenceRuntime.model_validate(each) for each in (created, RUNTIME))
    assert read.spec == written.spec


def test_a_partly_stated_object_gets_its_other_defaults(api):
    created = api.create(
        changed(MODEL, {"spec/batching": {"limits": {"maxBatchSize": {"max": 8}}}})
    )
    limits = created["spec"]["batching"]["limits"]
    assert limits["maxBatchSize"] == {"min": 1, "max": 8}
    assert limits["instances"] == {"min": 1, "max": 4}
    assert created["spec"]["batching"]["mode"] == "Auto"


def test_an_initial_batching_with_all_its_fields_is_accepted(api):
    initial = {
        "maxBatchSize": 8,
        "maxQueueDelayMicroseconds": 500,
        "instances": 2,
        "preferredBatchSize": [2, 4, 8],
        "defaultTimeoutMicroseconds": 40_000,
        "maxQueueSize": 100,
    }
    batching = {"mode": "Fixed", "initial": initial, "onOverload": "Reject"}
    created = api.create(changed(MODEL, {"spec/batching": batching}))
    assert created["spec"]["batching"]["initial"] == initial
    assert InferenceModel.model_validate(created).spec.batching.on_overload == "Reject"


def test_what_a_pod_may_select_and_tolerate_a_model_may(api):
    placement = {
        "nodeSelector": {"topology.kubernetes.io/zone": "eu-1", "empty": ""},
        "nodeAffinity": [
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["a", "b.c"]},
            {"key": "spot", "operator": "DoesNotExist"},
            {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["40000"]},
        ],
        "tolerations": [
            {"operator": "Exists"},
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "k", "value": "v", "effect": "NoExecute", "tolerationSeconds": 60},
        ],
    }
    created = api.create(changed(MODEL, {"spec/placement": placement}))
    found = InferenceModel.model_validate(created).spec.placement
    assert found.node_selector == placement["nodeSelector"]
    assert found.node_affinity[1].values == ()
    assert [each.operator for each in found.tolerations] == ["Exists", "Exists", "Equal"]


def test_all_that_pods_may_get_is_accepted(api):
    pod = {
        "labels": {"team": "vision", "example.com/tier": ""},
        "annotations": {"sidecar.istio.io/inject": "false"},
        "serviceAccountName": "vision.team",
        "imagePullSecrets": [{"name": "registry"}, {"name": "registry.2"}],
        "priorityClassName": "high",
        "securityContext": {"runAsUser": 1_000_650_000, "runAsGroup": 0, "fsGroup": 0},
    }
    model = api.create(changed(MODEL, {"spec/pod": {**pod, "env": [{"name": "OMP_NUM_THREADS"}]}}))
    runtime = api.create(changed(RUNTIME, {"spec/pod": pod}))

    for created in (model, runtime):
        found = created["spec"]["pod"]
        assert {key: found[key] for key in pod if key != "securityContext"} == {
            key: value for key, value in pod.items() if key != "securityContext"
        }
        assert found["securityContext"] == {**pod["securityContext"], "user": "Fixed"}


def test_null_means_the_default_or_nothing(api):
    change = {"spec/batching": None, "spec/objectives/throughput": None, "spec/resources": None}
    created = api.create(changed(MODEL, change))
    assert created["spec"]["batching"]["mode"] == "Auto"
    assert InferenceModel.model_validate(created).spec.objectives.throughput is None


def test_null_alone_is_no_objective(api):
    with pytest.raises(Refused, match="objectives must state at least one"):
        api.create(changed(MODEL, {"spec/objectives": {"latency": None}}))


def test_a_triton_overlay_is_kept_whole(api):
    overlay = {
        "optimization": {"input_pinned_memory": {"enable": False}},
        "parameters": {"note": {"string_value": "größer als モデル"}},
        "version_policy": {"specific": {"versions": [1, 3]}},
    }
    created = api.create(changed(MODEL, {"spec/model/config": overlay}))
    assert created["spec"]["model"]["config"] == overlay


@pytest.mark.parametrize(
    "overlay",
    [
        pytest.param({"max_batch_size": 8, "dynamicBatching": {}}, id="either spelling"),
        pytest.param({"max_batch_size": "8", "input": [{"dims": ["-1", 4]}]}, id="digits"),
        pytest.param({"max_batch_size": None}, id="a null"),
    ],
)
def test_an_overlay_may_be_written_as_protobufs_json_is(api, overlay):
    created = api.create(changed(MODEL, {"spec/model/config": overlay}))
    assert created["spec"]["model"]["config"] == overlay


@pytest.mark.parametrize(
    ("overlay", "words"),
    [
        pytest.param({"max_batch_sizes": 8}, "max_batch_sizes", id="an unknown field"),
        pytest.param({"a": {"a": {"a": {}}}}, 'unknown field "spec.model.config.a"', id="deep"),
        pytest.param({"instance_group": [{"kind": "TPU"}]}, "KIND_GPU", id="an unknown constant"),
        pytest.param({"parameters": {"a": {"string_value": "x" * 5000}}}, "4096", id="long"),
    ],
)
def test_what_triton_does_not_have_is_refused_where_kubectl_applies_it(plane, overlay, words):
    document = changed(MODEL, {"spec/model/config": overlay, "metadata/name": "refused"})
    with pytest.raises(RuntimeError, match=words):
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(document))


def test_what_triton_does_not_have_is_not_kept_whoever_writes_it(plane):
    overlay = {"max_batch_size": 8, "a": {"b": {"c": {}}}, "dynamic_batching": {"d": 1}}
    document = json.dumps(changed(MODEL, {"spec/model/config": overlay}))
    lenient = ("--validate=ignore", "--dry-run=server", "-o", "json")
    created = json.loads(plane.kubectl("create", *lenient, "-f", "-", stdin=document))
    assert created["spec"]["model"]["config"] == {"max_batch_size": 8, "dynamic_batching": {}}


def test_the_longest_name_is_accepted(api):
    assert api.create(changed(MODEL, {"metadata/name": "a" * 50}))


def test_unicode_text_in_status_is_accepted(api, profile):
    document = changed(PROFILE, {"status/notes": ["NVML: 読めません"]})
    stored = api.write_status(_current(document, profile))
    assert stored["status"] == document["status"]  # nothing lost, nothing filled in


def test_an_unknown_utilisation_may_be_null(api, profile):
    document = changed(PROFILE, {"status/processors/0/utilisation": None})
    stored = api.write_status(_current(document, profile))
    assert stored["status"]["processors"][0]["utilisation"] is None


def test_the_table_tells_a_models_story(plane, api):
    api.create(MODEL, dry_run=False)
    plane.kubectl(
        "patch",
        "imodel",
        "resnet50",
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps(STATUS),
    )
    narrow = plane.kubectl("get", "imodel").splitlines()
    assert " ".join(narrow[0].split()) == NARROW
    assert " ".join(narrow[1].split()).startswith("resnet50 True gpu-h200 24 38.5 p99<50ms True")
    wide = plane.kubectl("get", "imodel", "-o", "wide")
    for told in ("gpu", "Auto", "Serving", "412", "Met", "TrendIncrease", "http://resnet50"):
        assert told in wide
    assert "resnet50" in plane.kubectl("get", "ferryman")


NARROW = "NAME READY NODE TYPE BATCH LATENCY TARGET MET AGE"
STATUS = {
    "status": {
        "replicas": 2,
        "readyReplicas": 2,
        "selector": "serving.ferryman.dev/model=resnet50",
        "url": "http://resnet50-triton.default.svc:8000",
        "target": "p99<50ms",
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "reason": reason,
                "message": "",
                "lastTransitionTime": "2026-11-21T13:00:00Z",
            }
            for kind, reason in (("Ready", "Serving"), ("ObjectivesMet", "Met"))
        ],
        "placement": {
            "nodeType": "gpu-h200",
            "processor": "gpu",
            "reason": "LeastWorkload",
            "message": "least workload",
        },
        "batching": {"applied": {"maxBatchSize": 24}, "reason": "TrendIncrease"},
        "observed": {"latencyMilliseconds": 38.5, "inferencesPerSecond": 412},
    }
}


def test_an_autoscaler_sees_replicas_and_selector(plane, api):
    document = changed(MODEL, {"metadata/name": "scaled"})
    api.create(document, dry_run=False)
    plane.kubectl(
        "patch",
        "imodel",
        "scaled",
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps(STATUS),
    )
    plane.kubectl("scale", "imodel/scaled", "--replicas=3")
    scale = json.loads(
        plane.kubectl(
            "get",
            "--raw",
            f"/apis/{names.API_VERSION}/namespaces/default/inferencemodels/scaled/scale",
        )
    )
    assert scale["spec"]["replicas"] == 3
    assert scale["status"] == {"replicas": 2, "selector": "serving.ferryman.dev/model=resnet50"}


def test_two_writers_share_a_profiles_status_without_conflict(plane, api):
    name = "shared"
    api.create(changed(PROFILE, {"metadata/name": name, "status": ABSENT}), dry_run=False)
    head = {key: PROFILE[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": name}}
    whole = PROFILE["status"]
    agents = {key: value for key, value in whole.items() if key != "benchmarks"}
    for manager, part in (
        ("ferryman-agent", agents),
        ("ferryman-benchmark", {"benchmarks": whole["benchmarks"]}),
        ("ferryman-agent", agents | {"notes": ["again"]}),
    ):
        options = ("--server-side", "--subresource=status", f"--field-manager={manager}")
        plane.kubectl(
            "apply", *options, "-f", "-", stdin=json.dumps(head | {"status": part}),
        )  # fmt: skip
    stored = json.loads(plane.kubectl("get", "nodeprofile", name, "-o", "json"))
    assert stored["status"] == whole | {"notes": ["again"]}  # nothing lost, nothing filled in
    assert "gpu-h200" in plane.kubectl("get", "nprofile")
    assert "H200" in plane.kubectl("get", "nprofile", "-o", "wide")


def test_the_server_keeps_every_field_that_the_types_have(plane):
    """What the API server stores of a CRD is what was generated: nothing pruned, no condition."""
    for document in crd_documents().values():
        name = document["metadata"]["name"]
        stored = yaml.safe_load(plane.kubectl("get", "crd", name, "-o", "yaml"))
        assert stored["spec"]["versions"] == document["spec"]["versions"]
        problems = [c for c in stored["status"]["conditions"] if c["type"] == "NonStructuralSchema"]
        assert problems == []


def test_docs_describe_themselves_to_kubectl(plane):
    text = plane.kubectl("explain", "imodel.spec.batching.limits.maxBatchSize")
    assert "The least and largest batch size bound that the tuner may choose." in text


def test_what_helm_test_serves_is_accepted(api):
    light = ("--set", "runtimes.triton-cpu.enabled=true")
    [model] = [
        each
        for each in render_chart("--show-only", "templates/tests/serve.yaml", *light)
        if each["kind"] == "InferenceModel"
    ]
    model["metadata"]["namespace"] = "default"
    assert api.create(model)["spec"]["batching"]["mode"] == "Fixed"
