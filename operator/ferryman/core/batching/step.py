"""What becomes of an algorithm's word on one server, without Kubernetes.

The rules of ``core.tuning`` and ``core.situation`` for a model that has no InferenceModel: the
same guardrails, the same memory of what was refused, and any algorithm.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ferryman.api.batching import Actuator, Batching, Guardrails
from ferryman.api.inference_model_status import BatchingStatus
from ferryman.core.batching.actuators import cheapest_actuator
from ferryman.core.batching.changes import (
    interruption,
    refusal,
    why_not_again,
)
from ferryman.core.batching.tuning import UNDECIDED, why_reload_waits
from ferryman.core.tuners.protocol import Decision

Verb = Literal["Stay", "Change", "Wait", "Recommend"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What binds a change."""

    guardrails: Guardrails | None
    """None: reloads are not limited."""
    recommend: bool = False
    """Nothing is changed: the algorithm's wish is only told."""
    in_place: bool = True
    """Whether this server can change instances without a reload (see ``apply_batching``)."""

    def actuator(self, before: Batching, after: Batching) -> Actuator:
        """Return how a change will be made."""
        cheapest = cheapest_actuator(before, after)
        return "Reload" if cheapest == "InPlace" and not self.in_place else cheapest


@dataclass(frozen=True, slots=True)
class Step:
    """What is done about an algorithm's word, and why."""

    verb: Verb
    batching: Batching
    """What the algorithm wants."""
    actuator: Actuator | None
    """How it would be put in force; None where it is in force already."""
    reason: str
    message: str
    state: Any
    """What the algorithm is to be handed with the next window."""
    needs_replicas: int | None = None


def step(
    word: Decision,
    applied: Batching,
    history: BatchingStatus,
    rules: Rules,
    *,
    state: object,
    now: datetime,
) -> Step:
    """Turn an algorithm's word into what is done: stay, change, wait for a reload, or recommend.

    ``history`` holds the changes so far and their outcomes; ``state`` is what the algorithm was
    handed: unless it says otherwise it is handed the same again where it must wait, so that it
    decides afresh.
    """
    wanted = word.batching.canonical()
    if wanted == applied:
        told = rules.recommend and word.reason not in UNDECIDED
        return _as_said("Recommend" if told else "Stay", word, None)
    actuator = rules.actuator(applied, wanted)
    if rules.recommend:
        return _step(
            "Recommend", word, actuator, (word.reason, word.message), _kept(word, word.state)
        )
    failed = refusal(history, wanted, 0, now)
    if failed is not None:
        return _step("Stay", word, actuator, why_not_again(failed), _kept(word, word.state))
    interrupted = interruption(history, now)
    if interrupted is not None and interrupted.after == wanted:
        return _step(
            "Wait", word, actuator, (word.reason, interrupted.message), _kept(word, word.state)
        )
    waits = _waits(word, actuator, history, rules, now)
    if waits is not None:
        return _step("Wait", word, actuator, waits, _kept(word, state))
    return _as_said("Change", word, actuator)


def _waits(
    word: Decision, actuator: Actuator, history: BatchingStatus, rules: Rules, now: datetime
) -> tuple[str, str] | None:
    """Return why a change must wait: only reloads do, and only where they are limited."""
    if actuator != "Reload" or rules.guardrails is None:
        return None
    return why_reload_waits(word, rules.guardrails, history.recent_reloads, now)


def _kept(word: Decision, otherwise: object) -> Any:  # noqa: ANN401  the algorithm's own
    """Return what the algorithm wants to remember where it is not followed, if it says."""
    said = getattr(word, "if_refused", None)
    return otherwise if said is None else said


def _as_said(verb: Verb, word: Decision, actuator: Actuator | None) -> Step:
    return _step(verb, word, actuator, (word.reason, word.message), word.state)


def _step(
    verb: Verb, word: Decision, actuator: Actuator | None, why: tuple[str, str], state: object
) -> Step:
    batching = word.batching.canonical()
    return Step(verb, batching, actuator, *why, state, word.needs_replicas)
