"""The ModelConfig of an ensemble, and of its members' queues.

An ensemble's own ``max_batch_size`` is 0, and its shapes are whole ones. Then a member may have any
bound, and change it, without the ensemble becoming invalid (``ensemble_utils.cc`` holds each
member's bound against the ensemble's), a member may make any number of rows of a request, and
members that batch still form batches of the rows of several requests.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ferryman.api.model_source import TritonConfig
from ferryman.api.pipelines.wires import Source
from ferryman.core.triton.datatypes import CONFIG_TYPES


@dataclass(frozen=True, slots=True)
class EnsembleTensor:
    """A tensor that clients send or receive."""

    name: str
    datatype: str
    """As the KServe v2 protocol calls it."""
    shape: tuple[int, ...]
    """Whole, with the batch dimension; -1: any size."""


@dataclass(frozen=True, slots=True)
class EnsembleMember:
    """A model of the server, and what each of its inputs reads."""

    model: str
    reads: Mapping[str, Source]


def ensemble_config(
    name: str,
    inputs: Sequence[EnsembleTensor],
    members: Sequence[EnsembleMember],
    outputs: Mapping[EnsembleTensor, Source],
) -> TritonConfig:
    """Return the configuration of an ensemble of models that are named in ``members``.

    Each tensor has one name in it: that of the ensemble's input or output, or MODEL.TENSOR, which
    is unique as neither models nor the ensemble's tensors have a dot. What nobody reads is left
    out, as Triton refuses it. Raises ValueError when two outputs are one tensor.
    """
    named = {source: tensor.name for tensor, source in outputs.items()}
    if len(named) < len(outputs):
        raise ValueError("two outputs of an ensemble are the same tensor of a member")
    read = {source for member in members for source in member.reads.values()} | named.keys()
    return {
        "name": name,
        "platform": "ensemble",
        "max_batch_size": 0,
        "input": [_tensor(tensor) for tensor in inputs],
        "output": [_tensor(tensor) for tensor in outputs],
        "ensemble_scheduling": {"step": [_step(member, named, read) for member in members]},
    }


def with_timeout(config: TritonConfig, timeout_us: int, *, forked: bool) -> TritonConfig:
    """Return a member's configuration whose queue rejects what waited longer; 0: nothing.

    A bound on the number that wait is taken from a pipeline with parallel branches: before Triton
    core's fixes of 2026 (triton-inference-server/core#466, #470) a request that one branch turned
    away for a full queue while another ran it was never answered. What a policy says besides stays.
    A member that keeps sequences has a queue of its sequence batcher's, and no other.
    """
    if "sequence_batching" in config:
        return dict(config)
    dynamic = dict(config.get("dynamic_batching", {}))
    policy = dict(dynamic.pop("default_queue_policy", {}))
    if timeout_us:
        policy |= {"timeout_action": "REJECT", "default_timeout_microseconds": timeout_us}
    if forked:
        policy.pop("max_queue_size", None)
    if policy:
        dynamic["default_queue_policy"] = policy
    queues = bool(policy) or "dynamic_batching" in config
    return {**config, "dynamic_batching": dynamic} if queues else dict(config)


def _tensor(tensor: EnsembleTensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "data_type": CONFIG_TYPES[tensor.datatype],
        "dims": list(tensor.shape),
    }


def _step(
    member: EnsembleMember, named: Mapping[Source, str], read: Collection[Source]
) -> dict[str, Any]:
    made = sorted(source for source in read if source.step == member.model)
    return {
        "model_name": member.model,
        "model_version": -1,
        "input_map": {
            tensor: named.get(source, str(source)) for tensor, source in member.reads.items()
        },
        "output_map": {source.tensor: named.get(source, str(source)) for source in made},
    }
