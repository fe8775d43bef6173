"""One step: whether a wanted batching may be put in force now, how, and what is remembered if not.

The operator, ``ferryman tune``, the benchmark on a real Triton, ``ferryman simulate`` and the
arena of simulated benchmarks all ask this function and add no rule of their own. What binds a
change, in this order: the model's own configuration, which may keep it from coming into force;
mode Recommend; that it failed, or was interrupted, lately; and the guardrails, if it is a reload.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from ferryman.api.batching import Actuator, Batching, Guardrails
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingStatus
from ferryman.core.batching.actuators import ACTUATORS, Server, cheapest
from ferryman.core.batching.changes import interruption, refusal, why_not_again
from ferryman.core.batching.guardrails import ROLLBACKS, refuse_reload
from ferryman.core.tuners.needs import ENOUGH, Needs
from ferryman.core.tuners.protocol import Decision, InEffect
from ferryman.core.wording import describe

Verb = Literal["Stay", "Change", "Wait", "Recommend"]
#: What an algorithm answers while it has not come to a decision.
UNDECIDED: Final = (Reason.NO_TRAFFIC, Reason.OBSERVING, Reason.COLLECTING, Reason.LEARNING)


@dataclass(frozen=True, slots=True)
class Rules:
    """What binds a change."""

    guardrails: Guardrails | None
    """None: reloads are not limited."""
    recommend: bool = False
    """Nothing is changed: the algorithm's wish is only told."""
    generation: int = 0
    """Of the specification: what failed under another one may be tried again."""
    in_effect: InEffect = Batching.canonical
    """What the model's own configuration makes of a batching."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a change is decided by."""

    applied: Batching
    history: BatchingStatus
    """The changes so far with their outcomes, and the reloads that guardrails count."""
    servers: tuple[Server, ...]
    """Those that would be changed."""
    rules: Rules
    now: datetime

    def actuator(self, after: Batching) -> Actuator:
        """Return how a change would be made."""
        return cheapest(self.applied, after, self.servers, self.rules.in_effect)


@dataclass(frozen=True, slots=True)
class Step:
    """What is done about an algorithm's word, and why."""

    verb: Verb
    batching: Batching
    """What the algorithm wants, as it would come into force."""
    actuator: Actuator | None
    """How it would be put in force; None where it is in force already."""
    reason: str
    message: str
    state: Any
    """What the algorithm is to be handed with the next window."""
    needs: Needs = ENOUGH


@dataclass(frozen=True, slots=True)
class _Hindrance:
    """Why a change is not made, and whether it will be as soon as some time has passed."""

    verb: Verb
    reason: str
    message: str
    forgotten: bool = False
    """Whether the algorithm decides afresh, as if it had not been asked."""


def step(word: Decision, context: StepContext, *, state: object) -> Step:
    """Turn an algorithm's word into what is done: stay, change, wait, or recommend.

    ``state`` is what the algorithm was handed: unless it says otherwise it is handed the same
    again where a reload must wait, so that it decides afresh.
    """
    wanted = context.rules.in_effect(word.batching)
    actuator = None if wanted == context.applied else context.actuator(wanted)

    def answer(verb: Verb, reason: str, message: str, remembered: object) -> Step:
        return Step(verb, wanted, actuator, reason, message, remembered, word.needs)

    followed = wanted == word.batching.canonical()
    unless_followed = word.state if word.if_refused is None else word.if_refused
    if actuator is None or context.rules.recommend:
        told = context.rules.recommend and word.reason not in UNDECIDED
        kept = word.state if actuator is None and followed else unless_followed
        return answer("Recommend" if told else "Stay", word.reason, word.message, kept)
    hindered = _hindrance(word, wanted, actuator, context)
    if hindered is None:
        return answer("Change", word.reason, word.message, word.state)
    kept = state if hindered.forgotten and word.if_refused is None else unless_followed
    return answer(hindered.verb, hindered.reason, hindered.message, kept)


def _hindrance(
    word: Decision, wanted: Batching, actuator: Actuator, context: StepContext
) -> _Hindrance | None:
    """Return why a change is not made now, if there is a reason."""
    history, rules, now = context.history, context.rules, context.now
    failed = refusal(history, wanted, rules.generation, now)
    if failed is not None:
        return _Hindrance("Stay", *why_not_again(failed))
    interrupted = interruption(history, now)
    if interrupted is not None and interrupted.after == wanted:
        return _Hindrance("Wait", interrupted.reason, interrupted.message)
    if rules.guardrails is None or not ACTUATORS[actuator].reloads:
        return None
    rollback = word.reason in ROLLBACKS
    refused = refuse_reload(
        rules.guardrails, history.recent_reloads, now, rollback=rollback, urgent=word.urgent
    )
    if refused is None:
        return None
    waits = f"{describe(wanted)} waits: {refused.message}"
    return _Hindrance("Wait", refused.reason, waits, forgotten=True)
