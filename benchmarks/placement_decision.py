"""How long the operator takes to decide about one more model among 1,000 nodes.

The solver decides for a whole fleet; a model that is created is placed alone, by the function
that is timed here: each node is filtered, and the candidates are compared and explained.
"""

import statistics
import textwrap
import time
from datetime import datetime
from typing import Any, Final

import numpy as np

from benchmarks import scale
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.resources import model_key
from ferryman.core.placement.choose import choose
from ferryman.core.placement.prices import NO_PRICES
from ferryman.core.snapshot import NodeView, Snapshot
from ferryman.handlers.cache import Cache
from ferryman.handlers.gather import Nodes
from ferryman.handlers.reservations import Reservations
from tests.integration.operator_process import now as heartbeat

MODELS: Final = 60
_GIB: Final = 2**30
_WIDTH: Final = 99


def timed(size: scale.Size, models: int = MODELS) -> dict[str, Any]:
    """Decide about models one by one, by each policy in turn; return ms of wall time by policy."""
    rng = np.random.default_rng(scale.SEED)
    now = datetime.fromisoformat(heartbeat())
    views = _views(size, rng)
    runtime = InferenceRuntime.model_validate(scale.runtime())
    took_ms: dict[str, list[float]] = {}
    placed = 0
    for number in range(models):
        model = InferenceModel.model_validate(scale.model(number, rng))
        snapshot = Snapshot(model=model, runtime=runtime, nodes=views)
        begun_s = time.perf_counter()
        found = choose(snapshot, now)
        spent_ms = 1000 * (time.perf_counter() - begun_s)
        took_ms.setdefault(model.spec.placement.policy, []).append(spent_ms)
        placed += found.node_type is not None
    return {"nodes": len(views), "models": models, "placed": placed, "took_ms": took_ms}


def told(found: dict[str, Any]) -> str:
    """Return the figures as a paragraph."""
    each = ", ".join(
        f"{statistics.median(ms):.1f} ms by {policy} ({max(ms):.1f} ms at most)"
        for policy, ms in sorted(found["took_ms"].items())
    )
    text = (
        f"The operator's own decision about one model among {found['nodes']:,} nodes, every node "
        f"filtered and every candidate explained, takes in the median {each}; "
        f"{found['placed']} of {found['models']} models were placed."
    )
    return textwrap.fill(text, _WIDTH) + "\n"


def _views(size: scale.Size, rng: np.random.Generator) -> tuple[NodeView, ...]:
    """Return nodes that are in use and carry some models already, as the operator sees them."""
    nodes, profiles, reservations = {}, {}, Reservations()
    for name, kind in scale.nodes(size):
        node = scale.node(name, kind)
        node["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        cpu_millicores = int(rng.integers(0, 500 * kind.cpu))
        memory_bytes = int(rng.integers(0, kind.memory_gib // 2)) * _GIB
        metadata = {"name": name, "uid": name}
        status = scale.profile(kind, float(rng.beta(2, 5)))
        nodes[name] = [node]
        profiles[name] = [{"metadata": metadata, "status": status}]
        requests = {"cpu": f"{cpu_millicores}m", "memory": memory_bytes}
        spec = {"nodeName": name, "containers": [{"resources": {"requests": requests}}]}
        reservations.update(
            model_key("default", name), [{"spec": spec, "status": {"phase": "Running"}}]
        )
    cache = Cache({"nodes": nodes, "profiles": profiles})
    return Nodes(cache, reservations, NO_PRICES).views((), now_s=0.0)
