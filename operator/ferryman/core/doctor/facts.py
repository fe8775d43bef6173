"""What a look at a cluster gathered: objects as the API server sends them, and two pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ferryman.api import names
from ferryman.core.manifests import Manifest

OPERATOR: Final = "ferryman-operator"
#: What is served of our API: the CRDs themselves are larger than any object that is read here.
RESOURCES: Final = f"/apis/{names.GROUP}/{names.VERSION}"
#: Where the objects of each kind are, and by which labels they are chosen.
KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "nodes": ("/api/v1/nodes", ""),
    "leases": ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", ""),
    "profiles": ("/apis/serving.ferryman.dev/v1alpha1/nodeprofiles", ""),
    "runtimes": ("/apis/serving.ferryman.dev/v1alpha1/inferenceruntimes", ""),
    "models": ("/apis/serving.ferryman.dev/v1alpha1/inferencemodels", ""),
    "pipelines": ("/apis/serving.ferryman.dev/v1alpha1/inferencepipelines", ""),
    "operators": (
        "/apis/apps/v1/deployments",
        "app.kubernetes.io/name=ferryman,app.kubernetes.io/component=operator",
    ),
    "agents": (
        "/apis/apps/v1/daemonsets",
        "app.kubernetes.io/name=ferryman,app.kubernetes.io/component=agent",
    ),
    "roles": ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "app.kubernetes.io/name=ferryman"),
    "namespaced roles": (
        "/apis/rbac.authorization.k8s.io/v1/roles",
        "app.kubernetes.io/name=ferryman",
    ),
    "bindings": (
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
        "app.kubernetes.io/name=ferryman",
    ),
    "grants": (
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "app.kubernetes.io/name=ferryman",
    ),
    "services": ("/api/v1/services", "app.kubernetes.io/managed-by=ferryman"),
    "endpoints": (
        "/apis/discovery.k8s.io/v1/endpointslices",
        "app.kubernetes.io/managed-by=ferryman",
    ),
}


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """One look at a cluster."""

    now: datetime
    version: str
    """Of this command."""
    kubernetes: str
    """The API server's version, for example v1.35.1; empty where it was not told."""
    objects: Mapping[str, tuple[Manifest, ...]] = field(default_factory=dict)
    """By the names in ``KINDS``, and the ``resources`` of our API (APIResource, as discovery tells
    them); what could not be read is absent."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Why something could not be read, by the same names and those of the pages."""
    pages: Mapping[str, str] = field(default_factory=dict)
    """Of the operator: ``readyz`` and ``metrics``."""
    too_large: tuple[str, ...] = ()
    """The names of objects that are too large to be read, and in no other list."""

    def of(self, kind: str) -> tuple[Manifest, ...]:
        """Return the objects of a kind; none where they could not be read."""
        return self.objects.get(kind, ())


def installed(objects: Sequence[Manifest], grants: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """Return those of the installation's namespace, by the ClusterRoleBinding of its operator.

    Labels are anybody's: a tenant's Deployment may call itself an operator.
    """
    homes = {
        subject.get("namespace")
        for grant in grants
        if grant["metadata"]["name"] == OPERATOR
        for subject in grant.get("subjects") or ()
    }
    return tuple(each for each in objects if each["metadata"].get("namespace") in homes)
