"""Gather: from what the watches keep and what Triton says to one frozen snapshot."""

from collections.abc import Iterable, Mapping

from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.node_profile import NodeProfile, NodeProfileStatus
from ferryman.api.statistics import ServerModel
from ferryman.core.serving import serving_state
from ferryman.core.snapshot import NodeView, Snapshot
from ferryman.handlers.cache import Cache, Manifest
from ferryman.handlers.ledger import Load

#: What serving pods do not tolerate.
_REPELLING = ("NoSchedule", "NoExecute")


def snapshot(
    cache: Cache,
    model: InferenceModel,
    loads: Mapping[str, Load],
    server_models: Mapping[str, ServerModel],
) -> Snapshot:
    """Return all that a decision about the model may use.

    ``server_models`` maps the names of the pods whose Triton answered to what it said.
    """
    runtime = cache.runtime(model.spec.runtime_ref.name)
    return Snapshot(
        model=model,
        runtime=None if runtime is None else cache.parse(InferenceRuntime, runtime),
        nodes=node_views(cache, loads),
        serving=serving_state(cache.deployment(model.key), cache.pods(model.key), server_models),
    )


def node_views(cache: Cache, loads: Mapping[str, Load]) -> tuple[NodeView, ...]:
    """Return every node with its profile and what this operator's models reserve there."""
    return tuple(
        _node_view(node, _profile_status(cache, node["metadata"]["name"]), loads)
        for node in sorted(cache.nodes(), key=lambda node: str(node["metadata"]["name"]))
    )


def _profile_status(cache: Cache, node: str) -> NodeProfileStatus | None:
    manifest = cache.profile(node)
    found = None if manifest is None else cache.parse(NodeProfile, manifest)
    return None if found is None else found.status


def _node_view(
    node: Manifest, status: NodeProfileStatus | None, loads: Mapping[str, Load]
) -> NodeView:
    load = loads.get(node["metadata"]["name"], Load())
    return NodeView(
        name=node["metadata"]["name"],
        ready=_is_ready(node),
        untolerated_taints=tuple(_taints(node["spec"].get("taints", ()))),
        allocatable=dict(node["status"].get("allocatable", {})),
        reserved_cpu_millicores=load.reserved.cpu_millicores,
        reserved_memory_bytes=load.reserved.memory_bytes,
        reserved_devices=dict(load.reserved.devices),
        in_flight_cpu_millicores=load.in_flight.cpu_millicores,
        in_flight_memory_bytes=load.in_flight.memory_bytes,
        profile=status,
    )


def _is_ready(node: Manifest) -> bool:
    conditions = node["status"].get("conditions", ())
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not node["spec"].get("unschedulable")


def _taints(taints: Iterable[Manifest]) -> Iterable[str]:
    for taint in taints:
        if taint.get("effect") in _REPELLING:
            value = f"={taint['value']}" if taint.get("value") else ""
            yield f"{taint['key']}{value}:{taint['effect']}"
