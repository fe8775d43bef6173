"""Why a model is where it is, and why a node type was not chosen."""

from collections.abc import Mapping
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.vocabulary.reasons.explanation import Explanation

REASONS: Final[Mapping[str, Explanation]] = {
    Reason.LEAST_WORKLOAD: Explanation(
        "The node type has the least weighted sum of benchmark, memory and utilisation."
    ),
    Reason.BEST_FIT: Explanation(
        "By policy `BestFit`: the objectives are met with the fewest nodes there."
    ),
    Reason.CHEAPEST: Explanation(
        "By policy `Cheapest`: the objectives are met at the least price per hour there."
    ),
    Reason.FALLBACK: Explanation(
        "No node type is predicted to meet the objectives; this one comes nearest.",
        "Relax the objectives, allow a faster class of processors, or raise `spec.replicas`.",
    ),
    Reason.REBALANCED: Explanation(
        "Rebalancing moved the model: the move saves at least what the model asked for."
    ),
    Reason.RETAINED: Explanation(
        "The placement is kept: it is valid, and nothing asks for another comparison."
    ),
    Reason.MORE_WORKLOAD: Explanation("The candidate could serve; another has a smaller workload."),
    Reason.MORE_COST: Explanation("The candidate could serve; another takes less or is cheaper."),
    Reason.FEASIBLE: Explanation("The candidate could serve; the placement is elsewhere."),
    Reason.NO_CANDIDATE: Explanation(
        "No node type can serve the model.",
        "`ferryman explain MODEL` has each candidate's own reason: act on that of the node type "
        "that is meant to serve.",
    ),
    Reason.NO_NODE_PROFILE: Explanation(
        "No node, or not this one, has a NodeProfile: no agent has reported.",
        "Look whether the DaemonSet `ferryman-agent` has a pod there: `agent.tolerations` and "
        "`agent.nodeSelector` decide.",
    ),
    Reason.PROCESSOR_NOT_ALLOWED: Explanation(
        "`spec.placement.processors` does not name this class of processors.",
        "Add the class, if the model may run there.",
    ),
    Reason.PROCESSOR_NOT_IN_RUNTIME: Explanation(
        "The InferenceRuntime has no entry for this class of processors.",
        "Add the class to the runtime, or name another runtime.",
    ),
    Reason.FORMAT_NOT_SUPPORTED: Explanation(
        "The runtime has no backend for the model's format on this class of processors, or "
        "refuses models that are code.",
        "Name a runtime that has the backend, state `modelFormat` as it is, or allow code there.",
    ),
    Reason.PROFILE_STALE: Explanation(
        "The node's agent has not reported lately, or its clock is ahead.",
        "Look at the agent's pod and log on that node, and at the node's clock.",
    ),
    Reason.NODE_NOT_READY: Explanation(
        "The node is cordoned, not ready, or lost.",
        "Bring the node back, or uncordon it; models that were there go elsewhere meanwhile.",
    ),
    Reason.NODE_SELECTOR_NOT_MET: Explanation(
        "The node has not the labels that `spec.placement.nodeSelector` or the affinity asks for.",
        "Label the node, or correct the selector.",
    ),
    Reason.TAINT_NOT_TOLERATED: Explanation(
        "The node has a taint that neither the model nor its runtime tolerates.",
        "Add it to `spec.placement.tolerations`, if the model may run there.",
    ),
    Reason.PROCESSOR_UNAVAILABLE: Explanation(
        "The processor, or as many of its devices as are needed, must not be used: a GPU is lost, "
        "or has reported an XID error.",
        "The message names device and error; `docs/processors.md` says what to do about each.",
    ),
    Reason.NOT_BENCHMARKED: Explanation(
        "The node type has not been measured under this runtime's image yet.",
        "Wait: the operator measures by itself. Where it does not, the runtime has no "
        "`benchmark`, or the benchmark's Job waits: `kubectl get jobs -n ferryman-system`.",
    ),
    Reason.BENCHMARK_FAILED: Explanation(
        "The measurement of the node type failed.",
        "The message has its words. Correct what they name, then `ferryman benchmark NODE --wait`.",
    ),
    Reason.INVALID_BENCHMARK: Explanation(
        "The node type's table is not plausible, for example a throughput that is no number.",
        "Measure again: `ferryman benchmark NODE --wait`.",
    ),
    Reason.INSUFFICIENT_RESOURCES: Explanation(
        "No node of the type has the CPU, memory or devices free that the pods ask for.",
        "Ask for less in `spec.resources`, free some, or add a node of the type.",
    ),
    Reason.SEVERAL_NODES_NEEDED: Explanation(
        "No node has as many devices as `spec.parallelism` asks of one node.",
        "Lower `spec.parallelism.devices`, or add nodes that have so many.",
    ),
    Reason.DEVICES_DIFFER: Explanation(
        "The node's devices are of several types, or divided, and a pod that asks for several may "
        "get any of them.",
        "Use nodes with whole devices of one type.",
    ),
    Reason.LATENCY_UNREACHABLE: Explanation(
        "Even a batch of one is predicted to take longer there than the latency objective allows.",
        "Relax the objective, or allow a faster class of processors.",
    ),
    Reason.NODE_TYPE_NOT_ALLOWED: Explanation(
        "In a file of `ferryman place` the model allows other node types only.",
        "Add it to the model's `nodeTypes` there (`docs/fleet-format.md`).",
    ),
    Reason.PRICE_UNKNOWN: Explanation(
        "Policy `Cheapest` knows no price of the node type.",
        "Label its nodes with `serving.ferryman.dev/price-per-hour`, or state `prices` in the "
        "chart's values.",
    ),
}
