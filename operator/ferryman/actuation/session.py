"""One model on one running Triton, tuned window by window: the operator's loop without Kubernetes.

``ferryman tune`` and the benchmark on a real Triton run it. It lives here because it needs both
the adapters and the decisions, and ``handlers`` is kopf's shell.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from ferryman.actuation.actuate import actuate
from ferryman.actuation.events import (
    Began,
    ChangeBegun,
    ChangeEnded,
    Decided,
    Ended,
    Entry,
    Event,
    Moved,
    Observed,
    Reading,
    Silence,
)
from ferryman.api.batching import Actuator, Batching, BatchingSpec, Guardrails
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.model_source import TritonConfig
from ferryman.api.objectives import Objectives
from ferryman.api.statistics import ServerModel
from ferryman.clients.pbtxt import ConfigInvalid
from ferryman.clients.triton import ConfigRefused, TritonServer, TritonUnavailable
from ferryman.core.batching.actuators import Server
from ferryman.core.batching.changes import (
    Actuation,
    explain,
    in_force,
    record_outcome,
    record_started,
)
from ferryman.core.batching.step import Rules, Step, StepContext, step
from ferryman.core.observation.objectives import Verdict, judge
from ferryman.core.observation.window import Window, WindowState, observe
from ferryman.core.snapshot import PodView
from ferryman.core.triton import config as triton_config
from ferryman.core.tuners.protocol import Algorithm, Decision

#: So many readings in a row may fail before the window is void.
PATIENCE: Final = 5
#: How often a server that is silent after a change is asked what it has in force.
_ASK_EVERY_S: Final = 0.5
_SERVER: Final = "server"

_Outcome = Literal["Applied", "Refused", "RolledBack", "Interrupted"]


class LostError(Exception):
    """The server has been silent, or without the model, for too long."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time; ``seconds`` must be the clock of the server's ``Statistics.now_s``."""

    seconds: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a session observes and what binds it."""

    objectives: Objectives
    spec: BatchingSpec
    """The window, the guardrails, the limits; mode Recommend changes nothing."""
    guarded: bool = True
    """Whether the guardrails bind reloads."""
    start: Batching | None = None
    """What is put in force before the first window, if it is not."""
    overlay: TritonConfig = field(default_factory=dict)
    """What the model's owner stated of batching stays as it is: see ``in_effect``."""
    config_pbtxt: str | None = None
    """The file that the server loaded the model from, where known: see ``apply_batching``."""
    read_every_s: float = 1.0
    patience_s: float = 300.0
    """For so long the server may be silent."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a session ended."""

    first: Batching
    """What was in force when it began."""
    applied: Batching
    windows: int
    history: InferenceModelStatus
    """``batching.changes`` holds the last ten, newest first."""


@dataclass
class TuningSession:
    """The loop: read once a second, after each window let the algorithm decide, then act.

    ``state`` is what the algorithm is handed with the first window. ``tell`` is called with
    everything that happens, at once and in order; it must not block.
    """

    server: TritonServer
    algorithm: Algorithm
    settings: SessionSettings
    state: Any = None
    clock: Clock = field(default_factory=Clock)
    tell: Callable[[Entry], None] = lambda _: None
    applied: Batching = field(init=False)
    """What is in force."""
    windows: int = field(default=0, init=False)
    """How many have ended."""
    _first: Batching = field(init=False)
    _began_s: float = field(init=False)
    _window: WindowState = field(default_factory=WindowState, init=False)
    _history: InferenceModelStatus = field(default_factory=InferenceModelStatus, init=False)
    _changed_at_s: float | None = field(default=None, init=False)
    _heard_at_s: float = field(init=False)
    _missed: int = field(default=0, init=False)
    _submitted: bool = field(default=False, init=False)
    _overlay: TritonConfig = field(init=False)

    def __post_init__(self) -> None:
        self._overlay = self.settings.overlay

    async def run(self, stop: asyncio.Event) -> Report:
        """Tune until ``stop`` is set; a change that is under way is finished first.

        Raises TritonUnavailable when the server does not answer at the start, ConfigRefused
        when the model cannot be tuned, and LostError when the server is silent for too long.
        """
        self._began_s = self._heard_at_s = self.clock.seconds()
        self._first = self.applied = _batching(await self.server.model())
        self._say(Began(self.applied))
        try:
            await self._start()
            await self._loop(stop)
        except LostError as error:
            self._say(Ended(self.applied, self.windows, "Lost", str(error)))
            raise
        except asyncio.CancelledError:
            self._say(Ended(self.applied, self.windows, "Lost", "told to end at once"))
            raise
        self._say(Ended(self.applied, self.windows, "Stopped"))
        return Report(self._first, self.applied, self.windows, self._history)

    def in_effect(self, batching: Batching) -> Batching:
        """Return a batching as it comes into force beside what the model's owner stated.

        What somebody else states in the meantime counts, too.
        """
        return triton_config.in_effect(self._overlay, batching)

    async def _start(self) -> None:
        start = self.settings.start
        if start is None:
            return
        word = Decision(start, Reason.SPEC_CHANGED, "tuning starts here", self.state)
        await self._follow(self._step(word, None))

    async def _loop(self, stop: asyncio.Event) -> None:
        due_s = self.clock.seconds()
        while not stop.is_set():
            window = await self._read()
            if window is not None:
                await self._decide(window)
            due_s = max(due_s + self.settings.read_every_s, self.clock.seconds())
            await _wait(stop, due_s - self.clock.seconds())

    async def _read(self) -> Window | None:
        """Read the counters; return the window that ended with this reading, if one did."""
        try:
            sample = await self.server.statistics()
        except TritonUnavailable as error:
            self._silent(error)
            return None
        self._heard()
        self._window, window = self._observe({_SERVER: sample})
        if window is None:
            totals = self._window.totals[_SERVER]
            elapsed_s = self.clock.seconds() - self._window.started_at_s
            self._say(Reading(elapsed_s, totals.requests + totals.failures))
        return window

    def _observe(self, samples: dict[str, Any]) -> tuple[WindowState, Window | None]:
        return observe(
            self._window,
            samples,
            self.settings.spec.window,
            percentile=self.settings.objectives.percentile,
            now_s=self.clock.seconds(),
            changed_at_s=self._changed_at_s,
            hasty=self.settings.spec.algorithm == "Guarded",
        )

    def _heard(self) -> None:
        self._heard_at_s, self._missed = self.clock.seconds(), 0

    def _silent(self, why: Exception | str) -> None:
        """Take note that the server said nothing; raises LostError after too long."""
        self._missed += 1
        since_s = self.clock.seconds() - self._heard_at_s
        self._say(Silence(str(why), since_s))
        if self._missed > PATIENCE:
            self._window = WindowState()
        if since_s > self.settings.patience_s:
            raise LostError(f"no answer for {since_s:.0f} s: {why}")

    async def _decide(self, window: Window) -> None:
        if not await self._as_applied():
            return
        self.windows += 1
        self._say(Observed(self.windows, self.applied, window, self._judged(window)))
        begun_s = time.perf_counter()
        settings = self.settings
        word = self.algorithm(settings.spec, settings.objectives, self.applied, window, self.state)
        took_ms = (time.perf_counter() - begun_s) * 1e3
        done = self._step(word, settings.spec.guardrails if settings.guarded else None)
        self.state = done.state
        self._say(Decided(self.windows, self.applied, done, took_ms))
        await self._follow(done)

    def _judged(self, window: Window) -> Verdict:
        delay_ms = self.applied.max_queue_delay_microseconds / 1000
        return judge(self.settings.objectives, window, queue_delay_ms=delay_ms)

    def _step(self, word: Decision, guardrails: Guardrails | None) -> Step:
        """Return what is done about a word; in place needs something of ours, or the first file."""
        settings = self.settings
        in_place = self._submitted or settings.config_pbtxt is not None
        context = StepContext(
            applied=self.applied,
            history=self._history.batching,
            servers=(Server(in_place=in_place),),
            rules=Rules(
                guardrails,
                recommend=settings.spec.mode == "Recommend",
                in_effect=self.in_effect,
            ),
            now=self.clock.now(),
        )
        return step(word, context, state=self.state)

    async def _follow(self, done: Step) -> None:
        if done.verb == "Change" and done.actuator is not None:
            await self._change(done.batching, done.actuator, done.reason, done.message)

    async def _as_applied(self) -> bool:
        """Say whether the window was served by what is applied; if not, take what is there."""
        try:
            found = await self.server.model()
        except TritonUnavailable as error:
            self._silent(error)
            return False
        if found.batching is None:
            self._silent(found.reason or "the model is not ready")
            return False
        if _has(found, self.applied):
            return True
        self._say(Moved(self.applied, found.batching))
        self._overlay = triton_config.restated(self._overlay, self.applied, found.batching)
        self.applied, self._submitted = found.batching, False
        self._changed_at_s = self.clock.seconds()
        return False

    async def _change(self, after: Batching, actuator: Actuator, reason: str, message: str) -> None:
        before = self.applied
        actuation = Actuation(
            before=before,
            after=after,
            actuator=actuator,
            reason=reason,
            message=message,
            pods=(PodView(name=_SERVER, ready=True),),
            config_pbtxt=self.settings.config_pbtxt or "",
        )
        self._history = record_started(self._history, actuation, self.clock.now())
        self._say(ChangeBegun(before, after, actuator, reason, message))
        begun_s = self.clock.seconds()
        outcome, words = await self._carry_out(actuation)
        self._changed_at_s = self.clock.seconds()
        took_s = self._changed_at_s - begun_s
        self._history = record_outcome(self._history, actuation, outcome, words, self.clock.now())
        self.applied = after if outcome == "Applied" else before
        self._submitted |= outcome in {"Applied", "RolledBack"}
        _, text = explain(actuation, outcome, words)
        self._say(ChangeEnded(before, after, actuator, reason, outcome, text, self.applied, took_s))

    async def _carry_out(self, actuation: Actuation) -> tuple[_Outcome, str]:
        """Change, and look what came of it wherever the answer leaves a doubt."""
        result = await actuate(actuation, lambda _: self.server)
        if result.outcome == "Applied":
            return "Applied", result.message
        found = await self._answer()
        if _has(found, actuation.after):
            return "Applied", result.message
        if _has(found, actuation.before):
            return result.outcome, result.message
        return await self._roll_back(actuation, result.message or found.reason)

    async def _roll_back(self, actuation: Actuation, why: str) -> tuple[_Outcome, str]:
        """Put back what served before; raises LostError when that does not succeed either."""
        before = actuation.before
        try:
            await self.server.apply_batching(before, config_pbtxt=self.settings.config_pbtxt)
        except (ConfigRefused, ConfigInvalid, TritonUnavailable) as error:
            raise LostError(f"{why}; and what served before cannot be loaded: {error}") from error
        return "RolledBack", why

    async def _answer(self) -> ServerModel:
        """Return what the server has, as soon as it answers; raises LostError after too long."""
        while True:
            try:
                found = await self.server.model()
            except TritonUnavailable as error:
                self._silent(error)
            else:
                self._heard()
                return found
            await asyncio.sleep(_ASK_EVERY_S)

    def _say(self, event: Event) -> None:
        self.tell(Entry(self.clock.now(), self.clock.seconds() - self._began_s, event))


def _batching(found: ServerModel) -> Batching:
    if not found.ready:
        raise TritonUnavailable(f"the model is not ready: {found.reason}")
    if found.batching is None:
        raise ConfigRefused("Triton's dynamic batcher cannot serve this model")
    return found.batching


def _has(found: ServerModel, batching: Batching) -> bool:
    view = PodView(name=_SERVER, batching=found.batching, instances_known=found.instances_known)
    return in_force(view, batching)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    """Return when it is time, or at once when the end has come."""
    try:
        await asyncio.wait_for(stop.wait(), timeout=max(0.0, seconds))
    except TimeoutError:
        return
