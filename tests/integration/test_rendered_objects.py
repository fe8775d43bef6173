"""A real API server takes what is rendered and reported, and a second time changes nothing."""

from __future__ import annotations

import json

import pytest

from ferryman.api.batching import Batching, BatchingSpec, TrendSettings
from ferryman.api.inference_model_status import BatchingStatus
from ferryman.api.inference_runtime import RuntimeDrain, RuntimeLiveCap
from ferryman.clients import pbtxt
from ferryman.core.placement.choose import choose
from ferryman.core.plan import Environment, plan, record_outcome, record_started
from ferryman.core.snapshot import ServingState
from ferryman.core.tuners.select import TunerState
from tests import factories
from tests.integration.controlplane import ControlPlane

pytestmark = pytest.mark.integration

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
SOURCES = {
    "an image volume on a CPU": ("oci://registry.example/m:1", "cpu-small", "cpu"),
    "a volume claim on a GPU": ("pvc://models/vision/resnet50", "gpu-box", "gpu"),
}


@pytest.fixture(scope="module")
def cluster():
    with ControlPlane.start() as plane:
        plane.kubectl("apply", "--server-side", "-f", "crds/")
        plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", "crds/")
        namespace = {"metadata": {"name": "models", "labels": RESTRICTED}}
        apply(plane, {"apiVersion": "v1", "kind": "Namespace", **namespace})
        yield plane


def apply(plane, manifest, *options):
    """Apply with strict validation; return the object as the API server keeps it."""
    arguments = ("--server-side", "--force-conflicts", "--field-manager=ferryman")
    text = plane.kubectl(
        *("apply", *arguments, "--validate=strict", *options, "-o=json", "-f", "-"),
        stdin=json.dumps(manifest),
    )
    return json.loads(text)


def owned(cluster, name):
    """Create the InferenceModel that the objects belong to; return its manifest."""
    model = factories.model(name, namespace="models")
    head = {"apiVersion": "serving.ferryman.dev/v1alpha1", "kind": "InferenceModel"}
    metadata = {"name": name, "namespace": "models"}
    return apply(cluster, {**head, "metadata": metadata, "spec": model.spec.as_dict()})


def decided(name, uid, uri="oci://registry.example/m:1", node_type="cpu-small", processor="cpu"):
    model = factories.model(
        name,
        namespace="models",
        model=factories.source(uri),
        batching=BatchingSpec(algorithm="Trend", trend=TrendSettings(samples=3)),
    )
    model = model.with_(metadata=model.metadata.with_(uid=uid))
    model = model.with_(
        status=model.status.with_(batching=BatchingStatus(applied=Batching(max_batch_size=8)))
    )
    pods = (factories.pod(),)
    cap = RuntimeLiveCap(library="/usr/lib/batchstrategy.so", image="ferryman:1")
    drain = RuntimeDrain(library="/usr/lib/drain.so", image="f:1", grpc_connection_age_seconds=9)
    entries = [
        factories.runtime_processor(each, live_cap=cap, drain=drain) for each in ("cpu", "gpu")
    ]
    shown = factories.snapshot(
        model=model,
        runtime=factories.runtime(processors=entries),
        nodes=[factories.node(node_type=node_type, processors=[factories.processor(processor)])],
        serving=ServingState(
            exists=True,
            desired_replicas=1,
            ready_replicas=1,
            updated_replicas=1,
            model_ready=True,
            pods=pods,
        ),
    )
    # A place that is new is written down before there are objects.
    placed = choose(shown, factories.NOW)
    known = model.with_(status=model.status.with_(placement=placed))
    return plan(
        shown.with_(model=known),
        window=factories.window(latency_ms=80.0),
        state=TunerState(trajectory=(8, 6)),
        now=factories.NOW,
        encode=pbtxt.encode,
        control_key="secret",
        environment=Environment(operator_namespace="ferryman-system"),
    )


@pytest.mark.parametrize(("uri", "node_type", "processor"), SOURCES.values(), ids=SOURCES.keys())
def test_every_object_is_taken_and_taking_it_again_writes_nothing(
    cluster, uri, node_type, processor
):
    name = f"{processor}-model"
    uid = owned(cluster, name)["metadata"]["uid"]
    objects = decided(name, uid, uri, node_type, processor).objects
    assert len(objects) >= 5
    for manifest in objects:
        first = apply(cluster, manifest)
        again = apply(cluster, manifest)
        assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]


def test_a_pod_of_the_template_is_admitted_where_only_restricted_ones_are(cluster):
    uid = owned(cluster, "admitted")["metadata"]["uid"]
    deployment = decided("admitted", uid).objects[-1]
    template = deployment["spec"]["template"]
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    apply(cluster, {**account, "metadata": {"name": "default", "namespace": "models"}})
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
    metadata = {**template["metadata"], "name": "admitted-1", "namespace": "models"}
    created = apply(cluster, {**pod, "metadata": metadata})
    assert created["status"]["phase"] == "Pending"


@pytest.mark.parametrize("outcome", [None, "Applied", "Refused"])
def test_the_status_is_kept_as_it_was_reported(cluster, outcome):
    kept = owned(cluster, "reported")
    done = decided("reported", kept["metadata"]["uid"])
    assert done.actuation is not None
    status = record_started(done.status, done.actuation, factories.NOW)
    if outcome is not None:
        status = record_outcome(status, done.actuation, outcome, "no memory", factories.NOW)
    head = {key: kept[key] for key in ("apiVersion", "kind")}
    metadata = {"name": "reported", "namespace": "models"}
    found = apply(
        cluster, {**head, "metadata": metadata, "status": status.as_dict()}, "--subresource=status"
    )
    assert found["status"] == status.as_dict()
