"""The Kubernetes objects that serve models, as manifests for server-side apply.

The same input gives the same manifests: an apply that changes nothing writes nothing.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ferryman.api import names, resources
from ferryman.api.access import AccessSpec
from ferryman.api.base import Metadata
from ferryman.api.inference_model import PlacementSpec, ResourceRequirements
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.pods.parallelism import Parallelism
from ferryman.api.pods.pod_settings import ModelPodSettings, PodSettings
from ferryman.api.pods.scheduling import NodeRequirement
from ferryman.api.resources import INFERENCE_MODEL, INFERENCE_PIPELINE, Key, owner_reference
from ferryman.core.manifests import Manifest
from ferryman.core.placement.nodes import taints
from ferryman.core.render import (
    apart,
    disruption,
    ending,
    fetching,
    live_cap,
    network,
    no_code,
    pod,
    settings,
)
from ferryman.core.render.slots import ServedModel
from ferryman.core.triton import code

EncodeConfig = Callable[[Mapping[str, Any]], str]

#: On the pod template: pods roll when the configuration changes apart from what is tuned live.
ANNOTATION_CONFIG_HASH: Final = f"{names.GROUP}/config-hash"
#: Kind of what is served -> how the names of its objects end: of no two kinds alike, so that
#: objects of different kinds may have one name.
_SUFFIXES: Final[Mapping[str, str]] = {
    INFERENCE_MODEL.kind: "triton",
    INFERENCE_PIPELINE.kind: "pipeline",
}


class ServerSpec(Protocol):
    """What the owner of a server states of its pods."""

    @property
    def placement(self) -> PlacementSpec:
        """Where they may run."""
        ...

    @property
    def progress_deadline_seconds(self) -> int:
        """After how long without another ready one the rollout counts as stuck."""
        ...

    @property
    def longest_request_seconds(self) -> int:
        """For how long one that ends goes on answering."""
        ...

    @property
    def resources(self) -> ResourceRequirements | None:
        """Those of the Triton container, instead of the runtime's."""
        ...

    @property
    def pod(self) -> ModelPodSettings:
        """What is added to them."""
        ...

    @property
    def access(self) -> AccessSpec:
        """Who may connect to them."""
        ...


class ServedObject(Protocol):
    """An object of ours that is served by pods of its own."""

    @property
    def key(self) -> Key:
        """Its kind, namespace and name."""
        ...

    @property
    def metadata(self) -> Metadata:
        """Its metadata."""
        ...

    @property
    def replicas(self) -> int:
        """How many pods there are to be."""
        ...

    @property
    def spec(self) -> ServerSpec:
        """What its owner states."""
        ...


@dataclass(frozen=True)
class Environment:
    """What the operator's own installation contributes to a decision."""

    operator_namespace: str
    ipv6: bool = False
    """Whether pods of the cluster have IPv6 addresses first: then servers listen there."""
    access: AccessSpec = field(default_factory=AccessSpec)
    """Who may send requests to every model."""
    monitoring_namespace: str = ""
    """Whose pods may read Triton's metrics; empty: none besides the operator's own."""
    image: str = ""
    """Ferryman's own, by which pods fetch models' files; empty: they cannot."""


@dataclass(frozen=True)
class Serving:
    """What is to be served, where, and with which configuration."""

    served: ServedObject
    models: tuple[ServedModel, ...]
    """At least one; the last is what clients ask, and whose readiness is the pod's."""
    entry: RuntimeProcessor
    node_type: str
    preferred_node: str | None
    pull_policy: str
    control_key: str
    environment: Environment
    further_node_types: tuple[str, ...] = ()
    """Where replicas may be besides, kept apart over all of these."""
    runtime_pod: PodSettings = field(default_factory=PodSettings)
    """What the runtime's owner adds to pods."""
    parallelism: Parallelism | None = None
    """How many devices a pod requests; None: one, where the class has devices."""
    asks: Mapping[str, Key] = field(default_factory=dict)
    """Whose servers the pods ask, by the name of a Service that has an address for each."""


def object_name(key: Key) -> str:
    """Return the name of every object that serves an object of ours."""
    return f"{key.name}-{_SUFFIXES[key.kind]}"


def selector(key: Key) -> dict[str, str]:
    """Return the labels that select the pods of an object of ours."""
    return resources.owner_labels(key)


def url(key: Key, model_name: str) -> str:
    """Return the address of a model inside the cluster (KServe v2 protocol over HTTP)."""
    host = f"{object_name(key)}.{key.namespace}.svc"
    return f"http://{host}:{names.PORT_HTTP}/v2/models/{model_name}"


def render(serving: Serving, encode: EncodeConfig) -> tuple[Manifest, ...]:
    """Return the serving objects in the order in which to apply them.

    What a pod needs to start comes before the Deployment. Raises RejectedError for a
    storageUri that cannot be mounted, and what ``encode`` raises.
    """
    served = serving.served
    select = selector(served.key)
    key = base64.b64encode(serving.control_key.encode()).decode()
    environment = serving.environment
    access = served.spec.access.widened(environment.access)
    asked = [selector(each) for each in serving.asks.values()]
    policy = network.network_policy_spec(
        select,
        environment.operator_namespace,
        access,
        environment.monitoring_namespace,
        asked=asked,
        fetched_from=fetching.ports(serving.models),
    )
    return (
        *(
            _object(served, "v1", "Service", name, spec=network.addresses_spec(selector(each)))
            for name, each in sorted(serving.asks.items())
        ),
        _object(served, "v1", "Secret", type="Opaque", data={pod.CONTROL_KEY_ENTRY: key}),
        _object(served, "v1", "ConfigMap", data=_configurations(serving.models, encode)),
        _object(served, "networking.k8s.io/v1", "NetworkPolicy", spec=policy),
        _object(served, "v1", "Service", spec=network.service_spec(select)),
        _object(served, "policy/v1", "PodDisruptionBudget", spec=disruption.budget_spec(select)),
        _object(served, "apps/v1", "Deployment", spec=_deployment_spec(serving)),
    )


def config_hash(serving: Serving) -> str:
    """Return what names the configurations that pods are made for, without what is tuned."""
    untuned = {model.name: model.untuned_config for model in serving.models}
    made_for = untuned if len(untuned) > 1 else serving.models[0].untuned_config
    text = json.dumps(made_for, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _configurations(models: Iterable[ServedModel], encode: EncodeConfig) -> dict[str, str]:
    """Return the configurations as files; one that is not known yet is empty.

    Triton loads no model whose folder has a link to nothing, whatever it is told to load.
    """
    served = tuple(models)
    configs = {
        model.slot.config_file: "" if model.config is None else encode(model.config)
        for model in served
    }
    programs = {model.slot.program_file: model.program for model in served if model.program}
    return {**configs, **programs}


def _fingerprint(control_key: str) -> str:
    """Return what names a key; it is derived, and as long as the hash, so that none finds it."""
    return hashlib.sha256(f"control key {control_key}".encode()).hexdigest()[:16]


def _object(
    served: ServedObject,
    api_version: str,
    kind: str,
    name: str = "",
    **body: Any,  # noqa: ANN401
) -> Manifest:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name or object_name(served.key),
            "namespace": served.metadata.namespace,
            "labels": _labels(served.key),
            "ownerReferences": [owner_reference(served.key, served.metadata.uid)],
        },
        **body,
    }


def _labels(key: Key) -> dict[str, str]:
    return {
        names.LABEL_NAME: key.name,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        **selector(key),
    }


def _deployment_spec(serving: Serving) -> Manifest:
    key, spec = serving.served.key, serving.served.spec
    chosen = settings.merged(serving.runtime_pod, spec.pod)
    return {
        "replicas": serving.served.replicas,
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": spec.progress_deadline_seconds,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "selector": {"matchLabels": selector(key)},
        "template": {
            "metadata": settings.metadata(
                chosen,
                _labels(key),
                {
                    ANNOTATION_CONFIG_HASH: config_hash(serving),
                    names.ANNOTATION_CONTROL_KEY: _fingerprint(serving.control_key),
                },
            ),
            "spec": _pod_spec(serving, chosen),
        },
    }


def _pod_spec(serving: Serving, chosen: ModelPodSettings) -> Manifest:
    key, stated, models = serving.served.key, serving.served.spec, serving.models
    name, labels = object_name(key), selector(key)
    common: dict[str, Any] = {
        "resources": stated.resources,
        "devices": None if serving.parallelism is None else serving.parallelism.devices,
        "pull_policy": serving.pull_policy,
    }
    entry = serving.entry.with_(env=settings.environment(serving.entry.env, chosen.env))
    triton = pod.triton_container(
        models, entry, control_secret=name, ipv6=serving.environment.ipv6, **common
    )
    over = apart.over(serving.further_node_types)
    spec: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod.pod_security(chosen.security_context),
        **settings.identity(chosen),
        **_on_linux(stated.placement),
        "affinity": {
            "nodeAffinity": _node_affinity(serving),
            "podAntiAffinity": apart.anti_affinity(labels, over),
        },
        **pod.tolerations(apart.tolerations(taints.tolerations(stated.placement, serving.entry))),
        "topologySpreadConstraints": [apart.spread(labels, key) for key in over],
        "initContainers": [pod.layout_container(models, serving.entry, **common)],
        "containers": [triton],
        "volumes": pod.volumes(models, pull_policy=serving.pull_policy, config_map=name),
    }
    if not code.is_allowed(serving.entry):
        spec = no_code.add(spec)
    drain = serving.entry.drain
    times = ending.ending(drain, stated.longest_request_seconds)
    return fetching.add(
        ending.add(live_cap.add(spec, models), drain, times),
        models,
        image=serving.environment.image,
        pull_policy=serving.pull_policy,
    )


def _on_linux(placement: PlacementSpec) -> Manifest:
    """Keep pods off nodes of other systems, unless the owner has a word on systems."""
    stated = {*placement.node_selector, *(each.key for each in placement.node_affinity)}
    return {} if names.LABEL_OS in stated else {"nodeSelector": {names.LABEL_OS: names.OS}}


def _node_affinity(serving: Serving) -> Manifest:
    placement = serving.served.spec.placement
    expressions = [
        _is_in(names.LABEL_NODE_TYPE, serving.node_type, *serving.further_node_types),
        *(_is_in(key, value) for key, value in placement.node_selector.items()),
        *(requirement.as_dict() for requirement in placement.node_affinity),
        *(requirement.as_dict() for requirement in _interconnect(serving)),
    ]
    required = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    affinity: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    if serving.preferred_node is not None:
        # By its name: the label kubernetes.io/hostname need not agree with it.
        preference = {"matchFields": [_is_in("metadata.name", serving.preferred_node)]}
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": 50, "preference": preference}
        ]
    return affinity


def _interconnect(serving: Serving) -> tuple[NodeRequirement, ...]:
    return () if serving.parallelism is None else serving.parallelism.interconnect


def _is_in(key: str, *values: str) -> Manifest:
    return {"key": key, "operator": "In", "values": list(values)}
