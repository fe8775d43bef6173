"""Stolen tokens of ours on a real API server: what they may not do, and what they still must.

Every attempt is made a second time without the policies: RBAC alone would let it pass.
"""

from __future__ import annotations

import copy
import json
import ssl
import urllib.error
import urllib.request

import pytest

from ferryman.api.model_fetch import FetchSpec
from ferryman.api.resources import PLURALS
from ferryman.core.render import fetching as render_fetching
from ferryman.core.render.slots import ServedModel
from hack.images.recipes import RECIPES
from tests.integration.controlplane import ControlPlane
from tests.integration.operator_process import NAMESPACE, install, wait_for
from tests.integration.operators import IMAGE, Objects
from tests.integration.test_rendered_objects import decided, owned

pytestmark = pytest.mark.integration

OPERATOR, AGENT = "ferryman-operator", "ferryman-agent"
NODE, OTHER_NODE = "node-1", "node-2"
POLICIES = "validatingadmissionpolicies,validatingadmissionpolicybindings"


class World:
    """A control plane with a model, its objects, a pod, two nodes, and our accounts' tokens."""

    def __init__(self, plane):
        self.plane = plane
        objects = Objects(plane)
        for namespace in ("models", "other"):
            objects.namespace(namespace)
        for name in (NODE, OTHER_NODE):
            objects.node(name)
            objects.profile(name, "cpu-small")
        objects.runtime("triton")
        objects.runtime("theirs")
        foreign = {"name": "prod-triton", "namespace": "other"}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": foreign}
        self.admin({**secret, "stringData": {"password": "hunter2"}})
        self.admin(serving_pod("mine", {"serving.ferryman.dev/model": "digits"}))
        self.admin(serving_pod("theirs", {}))
        uid = owned(plane, "digits")["metadata"]["uid"]
        self.objects = {o["kind"]: copy.deepcopy(o) for o in decided("digits", uid).objects}
        on_node = ("--bound-object-kind=Node", f"--bound-object-name={NODE}")
        self._tokens = {
            OPERATOR: self._token(OPERATOR),
            AGENT: self._token(AGENT, *on_node),
            "an agent of no node": self._token(AGENT),
        }

    def admin(self, document):
        """Create or change an object as the administrator."""
        self.plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(document))

    def attempt(self, account, attempt):
        """Try without leaving anything; return the API server's words, "" where it agrees."""
        method, path, content_type, document = attempt(self)
        headers = {
            "Authorization": f"Bearer {self._tokens[account]}",
            "Content-Type": f"application/{content_type}",
        }
        url = f"{self.plane.url}{path}{'&' if '?' in path else '?'}dryRun=All"
        body = json.dumps(document).encode()
        request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(request, timeout=10, context=context):  # noqa: S310
                return ""
        except urllib.error.HTTPError as refused:
            return json.loads(refused.read())["message"]

    def made(self, kind, change=None):
        """Return one of the model's objects as the operator applies it, changed."""
        document = copy.deepcopy(self.objects[kind])
        if change is not None:
            change(document)
        return document

    def _token(self, account, *bound):
        return self.plane.kubectl("create", "token", account, "-n", NAMESPACE, *bound).strip()


def serving_pod(name, labels):
    container = {"name": "triton", "image": IMAGE}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "models", "labels": labels},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }


@pytest.fixture(scope="module")
def world():
    with ControlPlane.start() as plane:
        install(plane)
        made = World(plane)
        # The API server takes a moment to take policies up.
        attempt = OPERATOR_ATTEMPTS["a Secret in kube-system"][0]
        wait_for("the policies hold", lambda: made.attempt(OPERATOR, attempt))
        yield made


@pytest.fixture(scope="module")
def without(world):
    """Yield the same world without its policies."""
    world.plane.kubectl("delete", POLICIES, "--all")
    attempt = OPERATOR_ATTEMPTS["a Secret in kube-system"][0]
    wait_for("nothing holds any more", lambda: not world.attempt(OPERATOR, attempt))
    return world


def path_of(document, *, named=True):
    """Return where an object is in the API."""
    version, metadata = document["apiVersion"], document["metadata"]
    group = f"/apis/{version}" if "/" in version else f"/api/{version}"
    space = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    plural = {"Job": "jobs", **PLURALS}[document["kind"]]
    return f"{group}{space}/{plural}" + (f"/{metadata['name']}" if named else "")


def applied(kind, change=None):
    """Apply one of the model's objects, changed."""

    def attempt(world):
        document = world.made(kind, change)
        query = "?fieldManager=ferryman&force=true"
        return "PATCH", path_of(document) + query, "apply-patch+yaml", document

    return attempt


def posted(document):
    return lambda _: ("POST", path_of(document, named=False), "json", document)


def patched(path, patch):
    """Merge a patch into an object, lists by their keys where Kubernetes knows them."""
    strategic = "" if path.startswith(OURS) else "strategic-"
    return lambda _: ("PATCH", path, f"{strategic}merge-patch+json", patch)


def setting(path, value):
    """Return a change that sets what stands at a path."""

    def change(document):
        *way, last = path
        for step in way:
            document = document[step]
        document[last] = value

    return change


def renamed(name):
    """Return a change of an object's name, wherever it names itself.

    Otherwise two policies refuse it, and which of them the API server tells of is chance.
    """

    def change(document):
        before = document["metadata"]["name"]
        document.update(json.loads(json.dumps(document).replace(f'"{before}"', f'"{name}"')))

    return change


def adding(path, value):
    """Return a change that adds to the list at a path."""

    def change(document):
        for step in path:
            document = document[step]
        document.append(value)

    return change


PODS = "/api/v1/namespaces/models/pods"
FOREIGN = "/api/v1/namespaces/other/secrets/prod-triton"
OURS = "/apis/serving.ferryman.dev/v1alpha1"
POD = ("spec", "template", "spec")
TOKEN = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "token",
        "namespace": "kube-system",
        "annotations": {"kubernetes.io/service-account.name": "default"},
    },
    "type": "kubernetes.io/service-account-token",
}
JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "ferryman-benchmark-x", "namespace": NAMESPACE},
    "spec": {
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "serviceAccountName": OPERATOR,
                "automountServiceAccountToken": False,
                "containers": [{"name": "x", "image": "x"}],
            }
        }
    },
}


def secret_type(document):
    document.update(TOKEN, metadata={**document["metadata"], **TOKEN["metadata"]})
    document["metadata"].update(name="digits-triton", namespace="models")
    del document["data"]


FETCHING_IMAGE = RECIPES["operator"].tag


def fetching(secret="model-source-minio", **other):  # noqa: S107  a name
    """Return a change that has a pod fetch, by a container that differs from ours in something."""

    def change(document):
        served = ServedModel(
            "digits",
            "s3://models/digits",
            fetch=FetchSpec(ca_config_map_name="our-ca").with_(secret_name=secret),
        )
        spec = document["spec"]["template"]["spec"]
        made = render_fetching.add(spec, (served,), image=FETCHING_IMAGE, pull_policy="Always")
        first, *others = made["initContainers"]
        made["initContainers"] = [{**first, **other}, *others]
        document["spec"]["template"]["spec"] = made

    return change


NAMES, BEFORE = "objects called NAME-triton or NAME-pipeline alone", "was not Ferryman's before"
#: What a thief of the operator's token tries: the request, and what the API server says.
OPERATOR_ATTEMPTS = {
    "a Secret in kube-system": (posted(TOKEN), "Kubernetes' own namespaces"),
    "a token of another account under a name of ours": (
        applied("Secret", secret_type),
        "of type Opaque alone",
    ),
    "a Deployment under another name": (
        applied("Deployment", renamed("web")),
        NAMES,
    ),
    "a ConfigMap that belongs to nobody of ours": (
        applied("ConfigMap", setting(("metadata", "ownerReferences"), [])),
        NAMES,
    ),
    "an object without our label": (
        applied("ConfigMap", setting(("metadata", "labels"), {})),
        "is labelled app.kubernetes.io/managed-by",
    ),
    "a look at a foreign Secret through a patch": (
        patched(FOREIGN, {}),
        NAMES,
    ),
    "a foreign Secret made ours": (
        patched(
            FOREIGN,
            {
                "metadata": {
                    "labels": {"app.kubernetes.io/managed-by": "ferryman"},
                    "ownerReferences": [
                        {
                            "apiVersion": "serving.ferryman.dev/v1alpha1",
                            "kind": "InferenceModel",
                            "name": "prod",
                            "uid": "1",
                        }
                    ],
                }
            },
        ),
        BEFORE,
    ),
    "a Service for others' pods": (
        applied("Service", setting(("spec", "selector"), {"app": "bank"})),
        "selects pods by a label",
    ),
    "a Service with an address of others": (
        applied("Service", setting(("spec", "externalIPs"), ["192.0.2.1"])),
        "without external addresses",
    ),
    "a NetworkPolicy for all pods": (
        applied("NetworkPolicy", setting(("spec", "podSelector"), {})),
        "selects pods by a label",
    ),
    "a budget that keeps others' nodes from being drained": (
        applied(
            "PodDisruptionBudget", setting(("spec", "selector"), {"matchLabels": {"app": "bank"}})
        ),
        "selects pods by a label",
    ),
    "a folder of the node": (
        applied(
            "Deployment",
            adding((*POD, "volumes"), {"name": "host", "hostPath": {"path": "/"}}),
        ),
        "volumes of Ferryman's pods",
    ),
    "another's Secret as a volume": (
        applied(
            "Deployment",
            adding((*POD, "volumes"), {"name": "s", "secret": {"secretName": "bank"}}),
        ),
        "volumes of Ferryman's pods",
    ),
    "another's Secret as a model's source": (
        applied("Deployment", fetching("bank")),
        "a Secret called model-source-",
    ),
    "a model's source in another container": (
        applied("Deployment", fetching(name="triton-2")),
        "mounted by the container fetch alone",
    ),
    "a model's source in another image": (
        applied("Deployment", fetching(image="evil")),
        "mounted by the container fetch alone",
    ),
    "a model's source read by another program": (
        applied("Deployment", fetching(command=["cat", "/run/ferryman/fetch/secret-model/token"])),
        "mounted by the container fetch alone",
    ),
    "a projected token": (
        applied(
            "Deployment",
            adding(
                (*POD, "volumes"),
                {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            ),
        ),
        "volumes of Ferryman's pods",
    ),
    "another's Secret as a variable": (
        applied(
            "Deployment",
            adding(
                (*POD, "containers", 0, "env"),
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "bank", "key": "k"}}},
            ),
        ),
        "from the Secret of the same name alone",
    ),
    "a pod with a mounted token": (
        applied("Deployment", setting((*POD, "automountServiceAccountToken"), value=True)),
        "no service account's token",
    ),
    "a pod in the node's network": (
        applied("Deployment", setting((*POD, "hostNetwork"), value=True)),
        "no namespace of the node",
    ),
    "a container of root's": (
        applied(
            "Deployment",
            setting(
                (*POD, "containers", 0, "securityContext"),
                {
                    "allowPrivilegeEscalation": False,
                    "runAsUser": 0,
                    "capabilities": {"drop": ["ALL"]},
                },
            ),
        ),
        "no privilege",
    ),
    "a Job as the operator itself": (posted(JOB), "run as ferryman-benchmark"),
    "another image in a pod": (
        patched(f"{PODS}/mine", {"spec": {"containers": [{"name": "triton", "image": "evil"}]}}),
        "nothing of what pods and nodes are to be",
    ),
    "a label of a pod": (
        patched(f"{PODS}/mine", {"metadata": {"labels": {"app": "bank"}}}),
        "the only label",
    ),
    "another annotation of a pod": (
        patched(f"{PODS}/mine", {"metadata": {"annotations": {"a": "b"}}}),
        "the only annotation",
    ),
    "a pod that serves nothing of ours": (
        patched(
            f"{PODS}/theirs",
            {"metadata": {"annotations": {"serving.ferryman.dev/max-batch-size": "1"}}},
        ),
        "pods that serve its models alone",
    ),
    "a taint of a node": (
        patched(
            f"/api/v1/nodes/{NODE}", {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}
        ),
        "nothing of what pods and nodes are to be",
    ),
    "another label of a node": (
        patched(
            f"/api/v1/nodes/{NODE}", {"metadata": {"labels": {"node-role.kubernetes.io/x": ""}}}
        ),
        "the only label",
    ),
    "a label of a node taken away": (
        patched(
            f"/api/v1/nodes/{NODE}", {"metadata": {"labels": {"kubernetes.io/hostname": None}}}
        ),
        "the only label",
    ),
    "another's runtime": (
        patched(f"{OURS}/inferenceruntimes/theirs", {"spec": {"imagePullPolicy": "Never"}}),
        "InferenceRuntimes alone that come with",
    ),
    "what an agent says": (
        patched(f"{OURS}/nodeprofiles/{NODE}/status", {"status": {"nodeType": "x"}}),
        "nothing of a profile that the node's agent writes",
    ),
}
HEARTBEAT = {"status": {"heartbeatTime": "2026-01-01T00:00:00Z"}}
#: What a thief of an agent's token tries on node-1.
AGENT_ATTEMPTS = {
    "another node's profile": (
        AGENT,
        patched(f"{OURS}/nodeprofiles/{OTHER_NODE}/status", HEARTBEAT),
        "its own node alone",
    ),
    "a profile with a token of no node": (
        "an agent of no node",
        patched(f"{OURS}/nodeprofiles/{NODE}/status", HEARTBEAT),
        "its own node alone",
    ),
    "a profile of a node that is not there": (
        AGENT,
        posted(
            {
                "apiVersion": "serving.ferryman.dev/v1alpha1",
                "kind": "NodeProfile",
                "metadata": {"name": "made-up"},
            }
        ),
        "its own node alone",
    ),
    "what was measured": (
        AGENT,
        patched(f"{OURS}/nodeprofiles/{NODE}/status", {"status": {"benchmarks": []}}),
        "nothing of a profile that the operator writes",
    ),
}


@pytest.mark.parametrize(
    ("attempt", "words"), OPERATOR_ATTEMPTS.values(), ids=OPERATOR_ATTEMPTS.keys()
)
def test_the_operators_token_does_not_reach(world, attempt, words):
    assert words in world.attempt(OPERATOR, attempt)


@pytest.mark.parametrize(
    ("account", "attempt", "words"), AGENT_ATTEMPTS.values(), ids=AGENT_ATTEMPTS.keys()
)
def test_an_agents_token_does_not_reach(world, account, attempt, words):
    assert words in world.attempt(account, attempt)


@pytest.mark.parametrize(
    "kind",
    ["Secret", "ConfigMap", "NetworkPolicy", "Service", "PodDisruptionBudget", "Deployment"],
)
def test_the_operator_applies_what_serves(world, kind):
    assert world.attempt(OPERATOR, applied(kind)) == ""


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(
            patched(
                f"{PODS}/mine",
                {"metadata": {"annotations": {"serving.ferryman.dev/max-batch-size": "4"}}},
            ),
            id="the live cap of a pod",
        ),
        pytest.param(
            patched(
                f"/api/v1/nodes/{NODE}",
                {"metadata": {"labels": {"serving.ferryman.dev/node-type": "x"}}},
            ),
            id="the type of a node",
        ),
        pytest.param(
            patched(f"{OURS}/nodeprofiles/{NODE}/status", {"status": {"pricePerHour": 2}}),
            id="the price of a node",
        ),
        pytest.param(
            patched(f"{OURS}/inferenceruntimes/triton", {"spec": {"imagePullPolicy": "Never"}}),
            id="a runtime that comes with the installation",
        ),
    ],
)
def test_the_operator_changes_of_others_objects(world, attempt):
    assert world.attempt(OPERATOR, attempt) == ""


def test_the_operator_applies_a_pod_that_fetches_its_model(world):
    assert world.attempt(OPERATOR, applied("Deployment", fetching())) == ""


def test_an_agent_writes_its_own_nodes_profile(world):
    assert world.attempt(AGENT, patched(f"{OURS}/nodeprofiles/{NODE}/status", HEARTBEAT)) == ""


@pytest.mark.parametrize(
    "options", [(), ("--subresource=status",)], ids=["of the node", "of its status"]
)
def test_a_kubelet_cannot_say_its_type(world, options):
    """A kubelet's group alone counts; its own authorizer is not asked here."""
    kubelet = ("--as=system:node:node-1", "--as-group=system:nodes", "--as-group=system:masters")
    patch = json.dumps({"metadata": {"labels": {"serving.ferryman.dev/node-type": "gpu"}}})
    words = ("patch", "node", NODE, "--type=merge", f"-p={patch}", *kubelet, *options)
    with pytest.raises(RuntimeError, match="not a kubelet's"):
        world.plane.kubectl(*words)
    price = json.dumps({"metadata": {"labels": {"serving.ferryman.dev/price-per-hour": "2"}}})
    world.plane.kubectl("patch", "node", NODE, "--type=merge", f"-p={price}", *kubelet, *options)


@pytest.mark.parametrize(
    ("account", "attempt"),
    [
        pytest.param(account, attempt, id=f"{account}: {name}")
        for account, attempts in (
            (OPERATOR, {name: each for name, (each, _) in OPERATOR_ATTEMPTS.items()}),
            (AGENT, {name: each for name, (_, each, _) in AGENT_ATTEMPTS.items()}),
        )
        for name, attempt in attempts.items()
    ],
)
def test_without_the_policies_rbac_would_let_it(without, account, attempt):
    assert without.attempt(account, attempt) == ""
