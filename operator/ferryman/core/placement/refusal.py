"""Why a place is no place for a model."""

from dataclasses import dataclass

from ferryman.api.conditions import Reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node type or a node is no place for the model."""

    reason: Reason
    message: str
