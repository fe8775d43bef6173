"""Checks of runtimes, benchmarks, and what serves."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from ferryman.api.conditions import ConditionType
from ferryman.api.inference_model import PlacementSpec
from ferryman.core.doctor.facts import ClusterFacts
from ferryman.core.doctor.fault import Ailment, listed, name
from ferryman.core.manifests import Manifest, condition
from ferryman.core.placement.policies import POLICIES, PlacementPolicy
from ferryman.core.triton import advisories

_SERVICE_NAME: Final = "kubernetes.io/service-name"


def runtimes(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether there are runtimes, and each class of processors has one."""
    if not facts.of("runtimes"):
        yield Ailment("there is no InferenceRuntime", "enable one of the chart's runtimes")
        return
    served = {entry["class"] for each in facts.of("runtimes") for entry in _entries(each)}
    there = {
        processor["class"]
        for profile in facts.of("profiles")
        for processor in (profile.get("status") or {}).get("processors") or ()
    }
    if idle := there - served:
        remedy = "add the class to an InferenceRuntime, or leave it idle"
        yield Ailment(f"no runtime serves processors of class {listed(idle)}", remedy)


def vulnerable(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether a runtime's image has a tritonserver with published advisories."""
    for each in facts.of("runtimes"):
        for image in sorted({str(entry["image"]) for entry in _entries(each)}):
            words = advisories.words(image)
            if words is not None:
                yield Ailment(f"{name(each)}: {words}", f"replace {image} by a newer release")


def benchmarks(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether every table is a success, and of the image that the runtime has now."""
    images = {
        (each["metadata"]["name"], entry["class"]): entry["image"]
        for each in facts.of("runtimes")
        for entry in _entries(each)
    }
    for profile in facts.of("profiles"):
        for table in (profile.get("status") or {}).get("benchmarks") or ():
            of = f"{name(profile)}, {table['class']} under {table['runtime']}"
            image = images.get((table["runtime"], table["class"]))
            if table.get("error"):
                remedy = f"ferryman benchmark {name(profile)} --wait, once that is mended"
                yield Ailment(f"{of}: {table['error']}", remedy)
            elif image is not None and image != table["image"]:
                message = f"{of}: measured with {table['image']}, which serves no more"
                yield Ailment(message, "the operator measures again: see its Jobs")


def prices(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether node types have prices where a model is to be where it is cheapest."""
    asking = [name(model) for model in facts.of("models") if _policy(model).needs_prices]
    if not asking:
        return
    unpriced = {
        str(status["nodeType"])
        for profile in facts.of("profiles")
        if (status := profile.get("status") or {}).get("nodeType")
        and status.get("pricePerHour") is None
    }
    if unpriced:
        remedy = "state prices in the chart's values, or label the nodes"
        yield Ailment(f"no price of {listed(unpriced)}, which {listed(asking)} ask for", remedy)


def _policy(model: Manifest) -> PlacementPolicy:
    stated = (model["spec"].get("placement") or {}).get("policy")
    return POLICIES[stated or PlacementSpec().policy]


def stalled(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether anything that is to be served waits for a person."""
    for each in (*facts.of("models"), *facts.of("pipelines")):
        found = condition(each, ConditionType.STALLED)
        if found is not None:
            message = f"{name(each)}, {found['reason']}: {found['message']}"
            yield Ailment(message, f"docs/reference/reasons.md, under {found['reason']}")


def services(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether a model's Service leads clients to every pod that is ready."""
    ready = _ready_endpoints(facts)
    for model in facts.of("models"):
        metadata = model["metadata"]
        service = f"{metadata['namespace']}/{metadata['name']}-triton"
        wanted = (model.get("status") or {}).get("readyReplicas", 0)
        if ready[service] < wanted:
            message = f"{service} leads to {ready[service]} of {wanted} pods that are ready"
            remedy = "look at its EndpointSlices, and at kube-controller-manager"
            yield Ailment(message, remedy)
    for each in facts.of("services"):
        if each["spec"].get("sessionAffinity", "None") != "None":
            message = f"{name(each)} keeps each client at one pod"
            yield Ailment(message, "take sessionAffinity out of the Service")


def _ready_endpoints(facts: ClusterFacts) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in facts.of("endpoints"):
        metadata = each["metadata"]
        service = (metadata.get("labels") or {}).get(_SERVICE_NAME, "")
        addresses = [
            endpoint
            for endpoint in each.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
        ]
        found[f"{metadata.get('namespace')}/{service}"] += len(addresses)
    return found


def _entries(runtime: Manifest) -> tuple[Manifest, ...]:
    return tuple(runtime["spec"].get("processors") or ())
