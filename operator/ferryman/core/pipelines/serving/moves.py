"""A change of steps with what each pod is to load for it."""

from collections.abc import Mapping
from typing import Any

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.core.errors import RejectedError
from ferryman.core.pipelines.decide import WantedChange
from ferryman.core.pipelines.journal import PipelineChange, StepMove
from ferryman.core.pipelines.members import Member
from ferryman.core.render import EncodeConfig


def change_of(
    wanted: WantedChange | None,
    members: Mapping[str, Member],
    ensemble_pbtxt: str,
    encode: EncodeConfig,
    made_for: str,
) -> PipelineChange | None:
    """Return a change with what is to be loaded. Pods that are about to be replaced stay."""
    if wanted is None:
        return None
    moves = []
    for step, (before, after, pods) in wanted.steps.items():
        member = members[step]
        ours = tuple(pod for pod in pods if pod.config_hash in {"", made_for})
        configs, restoring = (
            {
                pod.name: encode(
                    member.config_for(
                        pod, batching.instances, batching.default_timeout_microseconds
                    )
                )
                for pod in ours
                if _loads(before, after)
            }
            for batching in (after, before)
        )
        annotation = member.slot.cap_annotation
        moves.append(StepMove(step, before, after, ours, annotation, configs, restoring))
    if not all(move.pods for move in moves):
        return None
    return PipelineChange(tuple(moves), wanted.reason, wanted.message, ensemble_pbtxt)


def _loads(before: Batching, after: Batching) -> bool:
    """Say whether a step is to be loaded: its bound alone is an annotation."""
    return (before.instances, before.default_timeout_microseconds) != (
        after.instances,
        after.default_timeout_microseconds,
    )


def rejecting(encode: EncodeConfig) -> EncodeConfig:
    """Make a configuration that does not fit Triton's schema a matter of the specification."""

    def encode_or_reject(config: Mapping[str, Any]) -> str:
        try:
            return encode(config)
        except ValueError as error:
            step = config.get("name", "")
            message = f"model.config of step {step}: {error}"
            raise RejectedError(Reason.INVALID_CONFIG, message) from error

    return encode_or_reject
