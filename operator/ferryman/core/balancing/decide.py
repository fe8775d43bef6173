"""The live balancer: one pure step from a window to the instances and bounds of all steps.

After each window: learn what it shows of the steps; judge the change before, and take back what
did not help; give a step that is short what is computed for the demand, at once and for all steps
together; and give back, after a second window that says the same, what is not needed. What limits
and what one more instance of each step would bring is told with every decision.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.balancing import planning, replicas, verification
from ferryman.core.balancing.account import StepAccount
from ferryman.core.balancing.accounting import accounts, learning_accounts, limits_in_words
from ferryman.core.balancing.case import UTILISATION, WORTH, Case, instances_of
from ferryman.core.balancing.demand import Asked, alone_ms, asked
from ferryman.core.balancing.learning import Lesson, believed, learn
from ferryman.core.balancing.planning import BalancingPlan
from ferryman.core.balancing.state import (
    Assignment,
    BalancerState,
    BalancingRules,
    BalancingTrial,
)
from ferryman.core.balancing.verification import Withdrawal
from ferryman.core.balancing.words import rounded
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.tuners.needs import Needs

#: Fewer requests than this say nothing. (Those of a pipeline may take seconds each.)
MIN_REQUESTS: Final = 3
#: So many windows in a row must say that fewer instances would do.
SPARE_WINDOWS: Final = 2
_MS_PER_S: Final = 1e3
_TRIED: Final = "more instances were tried under this load and did not help"
_FULL: Final = "the processors are busy all the time: more instances would only share them"


@dataclass(frozen=True, slots=True)
class BalancingDecision:
    """What each step is to have, and why."""

    assignment: Assignment
    """What is to be in force; equal to what is for "hold". Only instances and, with a live cap,
    ``max_batch_size`` ever differ from what is."""
    reason: Reason
    message: str
    steps: tuple[StepAccount, ...]
    """In the order of the rules."""
    state: BalancerState
    """To be handed back with the next window if the change was made or there is none."""
    if_refused: BalancerState
    """To be handed back instead where the change was not made: observed only, or refused."""
    limiting: str | None = None
    """The step that limits; None where that is unknown, or what limits is no step."""
    capacity_per_s: float | None = None
    """Requests a second and pod that the assignment is predicted to carry."""
    needs: Needs | None = None
    """The pods that the objectives need; None where the window says nothing of them."""


@dataclass(frozen=True, slots=True)
class _Word:
    """What is to be in force, and what is said and remembered of it."""

    assignment: Assignment
    reason: Reason
    message: str
    trial: BalancingTrial | None = None
    spare_windows: int = 0
    budgets_s: Mapping[str, float] | None = None


def balance(
    rules: BalancingRules, applied: Assignment, window: PipelineWindow, state: BalancerState
) -> BalancingDecision:
    """Decide what each step is to have after one more window.

    ``applied`` is what was in force during the whole window: one that holds a change must be
    thrown away (``observe_pipeline`` does). At most one change is under way at a time: while one
    is, ask again after the first whole window that follows it.
    """
    if _is_quiet(window):
        return _unknown(rules, applied, window, state)
    trial = verification.settled(state.trial, applied)
    grew = trial is not None and _grew(trial.before, trial.after)
    changed = trial is not None or (state.seen is not None and state.seen != applied)
    lesson = learn(rules, window, state, changed=changed, grew=grew)
    seen = asked(rules.steps, applied, window)
    verdict = _judged(rules, window, trial, seen, lesson) if trial is not None and grew else None
    steps = believed(lesson.steps, window) if grew and verdict is None else lesson.steps
    kept = verification.standing(state.ceiling, seen, drifted=bool(lesson.drifted))
    ceiling = verdict.ceiling if verdict is not None else kept
    learned = BalancerState(steps, applied, None, ceiling)
    case = Case(rules, applied, window, steps, seen)
    if not case.is_known:
        return _unknown(rules, applied, window, learned)
    word = None
    if trial is not None and verdict is not None:
        word = _taken_back(case, trial, verdict)
    if word is None:
        case = _under(case, learned)
        word = _grown(case, lesson.drifted) or _thrifty(case, state.spare_windows) or _held(case)
    held = word.assignment == applied and word.trial is None
    return replace(_decision(case, word, learned), needs=replicas.needed(case, held=held))


def _is_quiet(window: PipelineWindow) -> bool:
    """Whether so few requests were answered that nothing follows: nor did enough wait for a step.

    A step that answers one request in a window, of the hundreds that wait, tells enough.
    """
    answered = window.requests.requests
    waiting = max((step.pending or 0 for step in window.steps.values()), default=0)
    return answered == 0 or max(answered, waiting) < MIN_REQUESTS


def _unknown(
    rules: BalancingRules, applied: Assignment, window: PipelineWindow, state: BalancerState
) -> BalancingDecision:
    """Return that nothing is decided, as too little was seen."""
    count = window.requests.requests
    reason, message = Reason.NO_TRAFFIC, "no request was answered in the window"
    if not _is_quiet(window):
        lacking = [
            s.name
            for s in rules.steps
            if s.name not in state.steps or not state.steps[s.name].service.points
        ]
        reason, message = Reason.LEARNING, f"no batch was seen yet of {', '.join(lacking)}"
    elif count:
        reason, message = Reason.OBSERVING, "too few requests were answered in the window"
    told = learning_accounts(rules, applied, reason, message)
    needs = replicas.of_idle(window.requests)
    return BalancingDecision(applied, reason, message, told, state, state, needs=needs)


def _judged(
    rules: BalancingRules,
    window: PipelineWindow,
    trial: BalancingTrial,
    seen: Asked,
    lesson: Lesson,
) -> Withdrawal | None:
    """Return why the change before is to be taken back, if it is."""
    errors = {n: error for n, error in lesson.errors.items() if n not in trial.unsettled}
    alone_s = alone_ms(rules.steps, window, errors) / _MS_PER_S
    return verification.judged(trial, seen, errors, alone_s)


def _under(case: Case, learned: BalancerState) -> Case:
    """Return the case without growth, where the processors are full or the ceiling is reached."""
    if learned.ceiling is not None and verification.is_reached(learned.ceiling, case.seen):
        return replace(case, ceiling_per_s=learned.ceiling.rate_per_s, no_growth=True)
    return replace(case, no_growth=case.processors_are_full)


def _taken_back(case: Case, trial: BalancingTrial, verdict: Withdrawal) -> _Word | None:
    """Take back what was added and did not help; None where all of it is needed."""
    if verification.brought_something(trial, case.seen):
        after = planning.enough(case, trial.before, verdict.ceiling.rate_per_s)
    else:
        after = planning.without_growth(case.applied, trial.before)
    if after == case.applied:
        return None
    message = (
        f"{_changes(case.applied, after)}: with what was added {rounded(case.seen.served_per_s)} "
        f"requests/s are served, after {rounded(trial.served_per_s)} before and "
        f"{rounded(trial.predicted_per_s)} predicted: it slows down {', '.join(verdict.slowed)}"
    )
    return _Word(after, Reason.TAKEN_BACK, message)


def _grown(case: Case, unsettled: tuple[str, ...]) -> _Word | None:
    """Give what is short what it needs; None where nothing is, or nothing would help."""
    late = planning.misses_latency(case)
    if not late and not planning.needs_more(case):
        return None
    plan = planning.grown(case)
    before, after = case.capacity_per_s(case.applied), case.capacity_per_s(plan.assignment)
    carries_more = after > before * (1 + WORTH)
    splits = late and bool(plan.budgets_s)
    if plan.assignment == case.applied or not (carries_more or splits):
        return None
    return _Word(
        plan.assignment,
        Reason.LIMITING_STEP if carries_more else Reason.BUDGET_SPLIT,
        _growth_in_words(case, plan, before, after),
        BalancingTrial(
            before=case.applied,
            after=plan.assignment,
            served_per_s=case.seen.served_per_s,
            in_flight=case.seen.in_flight,
            predicted_per_s=min(after, case.seen.demand_per_s),
            unsettled=unsettled,
        ),
        budgets_s=plan.budgets_s,
    )


def _thrifty(case: Case, spare_windows: int) -> _Word | None:
    """Give back what is not needed, once two windows said so; None where all is needed."""
    if planning.misses_latency(case):
        return None
    plan = planning.thrifty(case)
    saved = sum(instances_of(case.applied).values()) - sum(instances_of(plan.assignment).values())
    if saved <= 0:
        return None
    windows = spare_windows + 1
    if windows < SPARE_WINDOWS:
        message = "fewer instances would do; given back if the next window says so, too"
        return _Word(case.applied, Reason.SPARE_INSTANCES, message, spare_windows=windows)
    changes = _changes(case.applied, plan.assignment)
    message = f"{changes}: the rest stays below {UTILISATION:.0%} of what it can do"
    return _Word(plan.assignment, Reason.SPARE_INSTANCES, message, budgets_s=plan.budgets_s)


def _held(case: Case) -> _Word:
    """Leave all as it is, and say what limits."""
    plan = planning.grown(replace(case, no_growth=False))
    reason, message = limits_in_words(case, plan)
    if case.no_growth and reason != Reason.DEMAND_SERVED:
        tried = case.ceiling_per_s is not None
        reason = Reason.TRIED_BEFORE if tried else Reason.PROCESSORS_FULL
        message = _TRIED if tried else _FULL
    return _Word(case.applied, reason, message, budgets_s=plan.budgets_s)


def _decision(case: Case, word: _Word, learned: BalancerState) -> BalancingDecision:
    counts = instances_of(word.assignment)
    after = replace(learned, trial=word.trial, spare_windows=word.spare_windows)
    return BalancingDecision(
        assignment=word.assignment,
        reason=word.reason,
        message=word.message,
        steps=accounts(case, word.assignment, word.budgets_s or {}),
        state=after,
        if_refused=replace(after, trial=None),
        limiting=case.limiting_step(counts),
        capacity_per_s=case.capacity_per_s(word.assignment),
    )


def _growth_in_words(case: Case, plan: BalancingPlan, before: float, after: float) -> str:
    limiting = case.limiting_step(instances_of(case.applied))
    limit = f"{limiting} limits" if limiting else "processors limit"
    changes = _changes(case.applied, plan.assignment)
    return (
        f"{limit}: the steps carry {rounded(before)} requests/s and up to "
        f"{rounded(case.seen.demand_per_s)} are asked; {changes} will carry {rounded(after)}"
    )


def _changes(before: Assignment, after: Assignment) -> str:
    """Return in words what differs."""
    told = []
    for name, was in before.items():
        now = after[name]
        if was.instances != now.instances:
            told.append(f"{name} from {was.instances} to {now.instances} instances")
        if was.max_batch_size != now.max_batch_size:
            told.append(f"{name} from batches of {was.max_batch_size} to {now.max_batch_size}")
    return ", ".join(told)


def _grew(before: Assignment, after: Assignment) -> bool:
    return any(after[name].instances > batching.instances for name, batching in before.items())
