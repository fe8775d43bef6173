"""Scenes that several tests of the reconcile begin with."""

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.resources import model_key
from tests import factories
from tests.fakes import wire

SERVING = {"Secret", "ConfigMap", "NetworkPolicy", "Service", "PodDisruptionBudget", "Deployment"}


KEY = model_key("default", "resnet50")


#: What readiness says one after the other of a specification that changes what serves.
ROLLED_OUT = [("False", "Applying"), ("False", "Deploying"), ("True", "Serving")]


def prepare(cluster):
    """One node type, one runtime and one model."""
    cluster.api.put("runtimes", wire(factories.runtime()))
    cluster.node()
    cluster.model()


async def serving(cluster):
    prepare(cluster)
    await cluster.settle()
    cluster.serve()
    await cluster.settle(10)


def fixed(size):
    return BatchingSpec(mode="Fixed", initial=Batching(max_batch_size=size))


POD = "resnet50-triton-10.0.0.1"


ANOTHER = {"model": factories.source("oci://registry.example/resnet50:2")}


def readiness(cluster, generation):
    """Return (status, reason) of Ready as written of a generation, repetitions left out."""
    found = []
    for status in cluster.api.statuses:
        ready = next(c for c in status["conditions"] if c["type"] == "Ready")
        seen = ready["status"], ready["reason"]
        if status["observedGeneration"] == generation and seen not in found[-1:]:
            found.append(seen)
    return found


def normalised(cluster):
    """Return all objects without versions, uids and times."""
    dropped = {"resourceVersion", "uid", "generation", "since", "lastTransitionTime"}

    def strip(value):
        if isinstance(value, dict):
            return {k: strip(v) for k, v in sorted(value.items()) if k not in dropped}
        return [strip(entry) for entry in value] if isinstance(value, list | tuple) else value

    # A Secret's key depends on the uid.
    return {key: strip(body) for key, body in cluster.api.objects.items() if key[0] != "Secret"}
