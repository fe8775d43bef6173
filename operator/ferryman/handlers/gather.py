"""Gather: from what the watches keep and what Triton says to one frozen snapshot."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.node_profile import NodeProfile, NodeProfileStatus
from ferryman.api.resources import Key
from ferryman.api.statistics import ServerModel
from ferryman.core.manifests import Manifest, condition
from ferryman.core.placement.prices import price_per_hour
from ferryman.core.placement.reservations import NodeLoad
from ferryman.core.pods.state import serving_state
from ferryman.core.snapshot import Advice, NodeView, ServingState, Snapshot
from ferryman.handlers.cache import Cache
from ferryman.handlers.reservations import Reservations

#: The effects that keep pods away which do not tolerate them.
_REPELLING = ("NoSchedule", "NoExecute")


def snapshot(
    cache: Cache,
    model: InferenceModel,
    nodes: tuple[NodeView, ...] | None,
    serving: ServingState,
    *,
    advice: Advice | None = None,
) -> Snapshot:
    """Return all that a decision about the model may use.

    ``nodes`` is None where the model's placement stands; ``advice`` is where rebalancing wants it
    to go.
    """
    runtime = cache.runtime(model.spec.runtime_ref.name)
    return Snapshot(
        model=model,
        runtime=None if runtime is None else cache.parse(InferenceRuntime, runtime),
        nodes=nodes or (),
        serving=serving,
        advice=advice,
        placement_is_valid=nodes is None,
    )


def serving(cache: Cache, key: Key, server_models: Mapping[str, ServerModel]) -> ServingState:
    """Return what serves a model; ``server_models`` is by the names of the pods that answered."""
    return serving_state(cache.deployment(key), cache.pods(key), server_models)


@dataclass(frozen=True, slots=True)
class Nodes:
    """All nodes as placement sees them, for whoever looks: they are made once for all."""

    cache: Cache
    reservations: Reservations
    prices: Mapping[str, float]
    """By node type, per hour."""
    silent: Callable[[], frozenset[str]] = frozenset
    """The nodes that are not heard of, whatever Kubernetes still says of them."""

    def views(self, apart_from: Collection[Key], now_s: float) -> tuple[NodeView, ...]:
        """Return every node by name, with its profile and what models other than these reserve."""
        cache, loads = self.cache, self.reservations.loads(apart_from, now_s)
        silent = self.silent()
        parts = (cache.revision, self.prices, silent)
        views = cache.made("views", parts, lambda: _views(cache, self.prices, silent))
        return tuple(
            _loaded(cache, view, loads[view.name]) if view.name in loads else view for view in views
        )

    def on_living(self, pods: Iterable[Manifest]) -> list[Manifest]:
        """Return the pods that are not on lost nodes: the others would not answer."""
        return [pod for pod in pods if not self._is_lost(pod["spec"].get("nodeName", ""))]

    def _is_lost(self, name: str) -> bool:
        node = self.cache.node(name)
        return name in self.silent() or (node is not None and condition(node, "Ready") is None)


def _views(
    cache: Cache, prices: Mapping[str, float], silent: frozenset[str]
) -> tuple[NodeView, ...]:
    """Return every node without any load; those of which nothing has changed as they were."""
    nodes = sorted(cache.nodes(), key=lambda node: str(node["metadata"]["name"]))
    return tuple(
        _kept_view(cache, node, prices, silent=node["metadata"]["name"] in silent) for node in nodes
    )


def _kept_view(
    cache: Cache, node: Manifest, prices: Mapping[str, float], *, silent: bool
) -> NodeView:
    name = node["metadata"]["name"]
    status = _profile_status(cache, name)
    lost = silent or condition(node, "Ready") is None
    parts = (node, status, prices, lost)
    return cache.made(f"view of {name}", parts, lambda: _node_view(node, status, prices, lost=lost))


def _loaded(cache: Cache, view: NodeView, load: NodeLoad) -> NodeView:
    """Return a node with what it carries, likewise."""
    return cache.made(
        f"load of {view.name}",
        (view, load),
        lambda: view.with_(
            reserved_cpu_millicores=load.reserved.cpu_millicores,
            reserved_memory_bytes=load.reserved.memory_bytes,
            reserved_devices=dict(load.reserved.devices),
            in_flight_cpu_millicores=load.in_flight.cpu_millicores,
            in_flight_memory_bytes=load.in_flight.memory_bytes,
        ),
    )


def _profile_status(cache: Cache, node: str) -> NodeProfileStatus | None:
    manifest = cache.profile(node)
    found = None if manifest is None else cache.parse(NodeProfile, manifest)
    return None if found is None else found.status


def _node_view(
    node: Manifest,
    status: NodeProfileStatus | None,
    prices: Mapping[str, float],
    *,
    lost: bool,
) -> NodeView:
    labels = dict(node["metadata"].get("labels", {}))
    return NodeView(
        name=node["metadata"]["name"],
        ready=not lost and not node["spec"].get("unschedulable"),
        lost=lost,
        labels=labels,
        taints=tuple(_taints(node["spec"].get("taints", ()))),
        price_per_hour=price_per_hour(labels, status.node_type if status else "", prices),
        allocatable=dict(node["status"].get("allocatable", {})),
        profile=status,
    )


def _taints(taints: Iterable[Manifest]) -> Iterable[str]:
    for taint in taints:
        if taint.get("effect") in _REPELLING:
            value = f"={taint['value']}" if taint.get("value") else ""
            yield f"{taint['key']}{value}:{taint['effect']}"
