"""What is reported of each step: where it is, what it has, and how the last window went for it."""

from math import isclose
from typing import Final

from ferryman.api.pipelines.inference_pipeline_status import (
    BalancingStatus,
    NextWorkerStatus,
    StepInstances,
    StepStatus,
)
from ferryman.core.balancing.account import StepAccount
from ferryman.core.balancing.decide import BalancingDecision
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.pipelines.decide import busy_instances
from ferryman.core.pipelines.service import PipelineService
from ferryman.core.pipelines.snapshot import LoadedStep, PipelineSnapshot
from ferryman.core.pipelines.steps import variants
from ferryman.core.rounding import significant
from ferryman.core.wording import same_words

#: Figures that differ by less are the same: noise writes nothing.
TOLERANCE: Final = 0.1
#: The figures of a window.
_FIGURES: Final = (
    "rows_per_request",
    "service_time_milliseconds",
    "mean_batch_size",
    "queue_milliseconds",
    "busy",
    "budget_milliseconds",
    "budget_share",
)
#: Of what is a share of time or a wait, so little is none (in its unit).
_NEGLIGIBLE: Final = {"busy": 0.02, "queue_milliseconds": 0.5}


def steps(
    snapshot: PipelineSnapshot, service: PipelineService, window: PipelineWindow | None
) -> tuple[StepStatus, ...]:
    """Return each step, as the specification orders them."""
    pipeline, word = snapshot.pipeline, service.assignment.decision
    before = {each.name: each for each in pipeline.status.steps}
    accounts = {each.name: each for each in word.steps} if word else {}
    found = []
    for step in pipeline.spec.steps:
        name = step.name
        loaded = snapshot.steps.get(name, LoadedStep())
        wanted = service.assignment.applied[name]
        counts = [pod.batching.instances for pod in loaded.pods if pod.batching is not None]
        capped = [pod.batching.max_batch_size for pod in loaded.pods if pod.batching is not None]
        old = before.get(name, StepStatus(name=name))
        shown = old.with_(
            **_whereabouts(name, service),
            ready=loaded.ready is True and _answers(name, service),
            instances=StepInstances(desired=wanted.instances, observed=min(counts, default=None)),
            max_batch_size=min(capped, default=None),
            source=loaded.source,
            variant=variants.as_status(service.variants.get(name)),
        )
        figures = _figures(name, window, service, accounts.get(name))
        found.append(shown if figures is None else _unless_alike(shown, figures))
    return tuple(found)


def _whereabouts(name: str, service: PipelineService) -> dict[str, object]:
    """Return which server has a step, and where that is."""
    remote = service.remote.get(name)
    placed = service.placement if remote is None else remote.model.status.placement
    return {
        "server": 0 if remote is None else 1 + list(service.remote).index(name),
        "node_type": None if placed is None else placed.node_type,
        "processor": None if placed is None else placed.processor,
    }


def _answers(name: str, service: PipelineService) -> bool:
    """Whether the step's own servers answer; of one that is here its loading says so."""
    remote = service.remote.get(name)
    return remote is None or remote.is_ready


def next_worker(
    balancing: BalancingStatus, word: BalancingDecision | None
) -> NextWorkerStatus | None:
    """Return what one more worker for the limiting step would bring."""
    if word is None:
        return balancing.next_worker
    limiting = next((each for each in word.steps if each.name == word.limiting), None)
    if limiting is None:
        return None
    gain = None if limiting.gain_per_s is None else significant(limiting.gain_per_s)
    found = NextWorkerStatus(
        step=limiting.name,
        added_per_second=gain,
        reason=limiting.reason,
        message=limiting.message,
    )
    before = balancing.next_worker
    same = (
        before is not None
        and (before.step, before.reason) == (found.step, found.reason)
        and _alike("", before.added_per_second, gain)
        and same_words(before.message, found.message)
    )
    return before if same else found


def _figures(
    name: str,
    window: PipelineWindow | None,
    service: PipelineService,
    account: StepAccount | None,
) -> dict[str, float | None] | None:
    """Return the figures of a window in which the step did something; None: as before."""
    shown = None if window is None else window.steps.get(name)
    if window is None or shown is None or not shown.requests:
        return None
    requests, wanted = window.requests.requests, service.assignment.applied[name]
    running = busy_instances(window, name)
    latency = service.server.spec.objectives.latency
    budget_ms = account.budget_ms if account else None
    figures = {
        "rows_per_request": shown.inferences / requests if requests else None,
        "service_time_milliseconds": shown.compute_ms,
        "mean_batch_size": shown.mean_batch_size,
        "queue_milliseconds": shown.queue_ms,
        "busy": None if running is None else min(1.0, running / wanted.instances),
        "budget_milliseconds": budget_ms,
        "budget_share": min(1.0, budget_ms / latency.target_milliseconds)
        if latency and budget_ms is not None
        else None,
    }
    return {key: None if value is None else significant(value) for key, value in figures.items()}


def _unless_alike(shown: StepStatus, figures: dict[str, float | None]) -> StepStatus:
    """Take new figures where any of them differs from what is shown."""
    if all(_alike(key, getattr(shown, key), figures[key]) for key in _FIGURES):
        return shown
    return shown.with_(**figures)


def _alike(key: str, old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is new
    return isclose(old, new, rel_tol=TOLERANCE, abs_tol=_NEGLIGIBLE.get(key, 0.0))
