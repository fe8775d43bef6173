"""Scenes of pipelines: a session on virtual time, with servers that hold several models."""

from ferryman.api import names
from ferryman.api.resources import pipeline_key
from tests import factories
from tests.fake_pipelines import FakePipelineServer
from tests.fakes import wire

KEY = pipeline_key("default", "chain")
#: A step of the middle takes three times as long as the others.
SERVICE_S = {"prepare": 0.01, "detect": 0.03, "read": 0.01}
RUNTIME = factories.runtime(
    processors=[factories.runtime_processor(backends={"python": "python", "onnx": "onnxruntime"})]
)
IP = "10.0.0.1"


def put(cluster, pipeline=None):
    """Put a pipeline as a user would: the status stays as it is."""
    body = wire(pipeline or factories.pipeline())
    before = cluster.api.get("pipelines", body["metadata"]["name"])
    body["metadata"]["generation"] = before["metadata"]["generation"] + 1 if before else 1
    body["status"] = before["status"] if before else {}
    return cluster.api.put("pipelines", body)


def prepare(cluster, pipeline=None):
    """One node type, one runtime and one pipeline."""
    cluster.api.put("runtimes", wire(RUNTIME))
    cluster.node()
    put(cluster, pipeline)


def serve(cluster, *ips, name="chain", service_s=None, ready=True):
    """Do the work of Deployment controller and kubelet; return the servers."""
    deployment = cluster.api.get("deployments", f"{name}-pipeline")
    template = deployment["spec"]["template"]
    pods = []
    for ip in ips or (IP,):
        if ip not in cluster.tritons.holding:
            server = FakePipelineServer(name, service_s or SERVICE_S)
            cluster.tritons.holding[ip] = server.models
        pod = _pod(f"{name}-pipeline-{ip}", name, ip, template, ready=ready)
        pods.append(cluster.api.put("pods", pod))
    cluster.api.indices["pods"][pipeline_key("default", name)] = pods
    status = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": len(pods),
        "readyReplicas": len(pods) if ready else 0,
        "updatedReplicas": len(pods),
    }
    cluster.api.put("deployments", {**deployment, "status": status})
    return [cluster.tritons.holding[ip][name].server for ip in ips or (IP,)]


def _pod(name, pipeline, ip, template, *, ready):
    labels = {names.LABEL_PIPELINE: pipeline, names.LABEL_MANAGED_BY: names.MANAGED_BY}
    container = template["spec"]["containers"][0]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": labels,
            "annotations": dict(template["metadata"]["annotations"]),
            "ownerReferences": [
                {
                    "kind": "ReplicaSet",
                    "name": f"{pipeline}-pipeline-1",
                    "uid": f"uid-of-{pipeline}-pipeline-1",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "triton", "resources": container["resources"]}],
            "volumes": [],
        },
        "status": {
            "phase": "Running",
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


async def serving(cluster, pipeline=None):
    """Have a pipeline serve; return its server."""
    prepare(cluster, pipeline)
    await cluster.settle()
    serve(cluster, ready=False)
    await cluster.settle(10)
    [server] = serve(cluster)
    await cluster.settle(10)
    return server


def status(cluster, name="chain"):
    """Return a pipeline's status as it is stored."""
    return cluster.api.get("pipelines", name)["status"]


def condition(cluster, kind, name="chain"):
    """Return (status, reason, message) of a condition, or None."""
    for each in status(cluster, name).get("conditions", ()):
        if each["type"] == kind:
            return each["status"], each["reason"], each["message"]
    return None
