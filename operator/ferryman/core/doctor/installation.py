"""Checks of what the chart installs: CRDs, operator, agents, permissions and policies."""

from collections.abc import Iterator
from typing import Final

from ferryman.api import names
from ferryman.api.resources import PLURALS
from ferryman.core.doctor.facts import ClusterFacts
from ferryman.core.doctor.fault import Ailment, listed, name
from ferryman.core.manifests import Manifest, condition

_UPGRADE: Final = "install the chart again: helm upgrade"
OURS: Final = ("InferenceModel", "InferencePipeline", "InferenceRuntime", "NodeProfile")
#: What the operator cannot do without, as (API group, resource, verb).
NEEDED: Final = (
    (names.GROUP, "inferencemodels", "watch"),
    (names.GROUP, "inferencemodels/status", "patch"),
    (names.GROUP, "inferencepipelines", "watch"),
    (names.GROUP, "inferencepipelines/status", "patch"),
    (names.GROUP, "inferenceruntimes", "watch"),
    (names.GROUP, "nodeprofiles", "watch"),
    (names.GROUP, "nodeprofiles/status", "patch"),
    ("", "nodes", "watch"),
    ("", "pods", "watch"),
    ("", "pods", "patch"),
    ("", "services", "patch"),
    ("", "configmaps", "patch"),
    ("", "secrets", "patch"),
    ("", "events", "create"),
    ("apps", "deployments", "patch"),
    ("apps", "replicasets", "get"),
    ("networking.k8s.io", "networkpolicies", "patch"),
    ("policy", "poddisruptionbudgets", "patch"),
)
POLICIES: Final = (
    "ferryman-operator-objects",
    "ferryman-operator-templates",
    "ferryman-operator-fields",
    "ferryman-operator-runtimes",
    "ferryman-operator-profiles",
    "ferryman-agent",
    "ferryman-node-labels",
)


def too_large(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether there are objects of which the other checks know nothing."""
    if facts.too_large:
        remedy = "have their owners make them smaller: the operator does not read them either"
        yield Ailment(f"too large to be read: {listed(facts.too_large)}", remedy)


def crds(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether each of our kinds is served in this version, which an established CRD is."""
    served = {each.get("name") for each in facts.of("resources")}
    if missing := {PLURALS[kind] for kind in OURS} - served:
        remedy = (
            "kubectl apply --server-side -k crds, or set crds.enabled of the chart; where they are "
            "there, look at their conditions: kubectl describe crd"
        )
        yield Ailment(f"{names.GROUP}/{names.VERSION} does not serve {listed(missing)}", remedy)


def operator(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether there is one operator, and it is available."""
    found = facts.of("operators")
    if not found:
        yield Ailment("no Deployment of an operator is there", "helm install, as the README says")
    if len(found) > 1:
        remedy = "two operators write the same objects: uninstall all but one"
        yield Ailment(f"there are several: {listed(map(name, found))}", remedy)
    for each in found:
        if condition(each, "Available") is None:
            remedy = f"kubectl describe deployment -n {each['metadata'].get('namespace')}"
            yield Ailment(f"{name(each)} has no pod that is ready", f"{remedy}, and its log")


def versions(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether operator, agents and this command come from one release."""
    for each in (*facts.of("operators"), *facts.of("agents")):
        [container, *_] = each["spec"]["template"]["spec"]["containers"]
        _, colon, tag = container["image"].rpartition(":")
        if "@" in container["image"] or not colon or "/" in tag or tag == facts.version:
            continue  # a digest tells no version
        message = f"{name(each)} runs {tag}, this command is {facts.version}"
        yield Ailment(message, "upgrade the chart, or use the command of that version")


def ready(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether the operator says that it is ready."""
    said = facts.pages.get("readyz", "").strip()
    if said != "ok":
        remedy = "the words say what keeps it: docs/runbooks/FerrymanOperatorNotReady.md"
        yield Ailment(f"the operator says: {said or 'nothing'}", remedy)


def metrics(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether the page has the operator's metrics."""
    if "ferryman_build_info" not in facts.pages.get("metrics", ""):
        remedy = "see what answers at port 8080 of the Service ferryman-operator"
        yield Ailment("the page has no metric of this version's operator", remedy)


def permissions(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether the operator's roles allow what it cannot do without."""
    roles = [*facts.of("roles"), *facts.of("namespaced roles")]
    rules = [
        rule
        for role in roles
        if role["metadata"]["name"] in {"ferryman-operator", "ferryman-models"}
        for rule in role.get("rules") or ()
    ]
    lacking = [
        f"{verb} {resource}"
        for group, resource, verb in NEEDED
        if not any(_allows(rule, group, resource, verb) for rule in rules)
    ]
    if lacking:
        yield Ailment(f"the operator may not: {listed(lacking)}", _UPGRADE)


def _allows(rule: Manifest, group: str, resource: str, verb: str) -> bool:
    asked = {"apiGroups": group, "resources": resource, "verbs": verb}
    return all(word in (rule.get(field) or ()) for field, word in asked.items())


def policies(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether every admission policy is bound, and denies."""
    denying = {
        each["metadata"]["name"]
        for each in facts.of("bindings")
        if "Deny" in (each["spec"].get("validationActions") or ())
    }
    if missing := set(POLICIES) - denying:
        remedy = "set policies.enabled of the chart (docs/security.md), or take the loss"
        yield Ailment(f"not enforced: {listed(missing)}", remedy)


def agents(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether an agent is ready wherever one is to run."""
    if not facts.of("agents"):
        yield Ailment("no DaemonSet of agents is there", _UPGRADE)
    for each in facts.of("agents"):
        status = each.get("status") or {}
        wanted, there = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
        if there < wanted:
            remedy = "kubectl get pods -A -l app.kubernetes.io/component=agent -o wide"
            yield Ailment(f"{there} of {wanted} agents are ready", remedy)
