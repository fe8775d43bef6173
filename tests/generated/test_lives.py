"""A model's life: windows, refusals, drifting pods, and an operator that dies after any write."""

from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.batching import Batching, BatchingSpec, Guardrails, TrendSettings
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.clients import pbtxt
from ferryman.core.batching.changes import record_outcome, record_started
from ferryman.core.batching.restored_state import recalled
from ferryman.core.plan import Environment, plan
from ferryman.core.snapshot import ServingState
from ferryman.core.status import conditions
from tests import factories
from tests.factories import NOW
from tests.generated.examples import examples

TARGET_MS = 50
GUARDRAILS = Guardrails(min_seconds_between_reloads=120, max_reloads_per_hour=3)
SPEC = BatchingSpec(
    algorithm="Trend",
    initial=Batching(max_batch_size=9),
    trend=TrendSettings(samples=3),
    limits=factories.limits((1, 16), (0, 0), (1, 1)),
    guardrails=GUARDRAILS,
)
STEP_S = 40
#: Longer than what failed is remembered.
CALM_STEPS = 120
TUNED = (Reason.TREND_INCREASE, Reason.TREND_DECREASE)
EVENTS = st.sampled_from(
    (
        *("window",) * 8,
        "nothing",
        "refused",
        "half refused",
        "dies after the first write",
        "dies with one pod changed",
        "dies before the last write",
        "restarts",
        "a pod drifts",
        "a pod is silent",
        "failures",
    )
)


@dataclass
class Life:
    """One model with two pods, and an operator that may be another one after each step."""

    spec: BatchingSpec = SPEC
    now_s: int = 0
    silent: str = ""
    status: InferenceModelStatus = field(default_factory=InferenceModelStatus)
    pods: dict[str, Batching] = field(default_factory=dict)
    reloads: list[tuple[int, str]] = field(default_factory=list)
    """When a reload was begun, and why: nothing of it is ever forgotten."""

    def __post_init__(self):
        self.pods = dict.fromkeys(("a", "b"), self.spec.initial)
        self.state = recalled(self.model)

    @property
    def model(self):
        """Return the model as it is stored."""
        return factories.model(
            batching=self.spec,
            objectives=factories.objectives(TARGET_MS),
            replicas=2,
            status=self.status,
        )

    @property
    def snapshot(self):
        """Return what the operator sees."""
        pods = tuple(
            factories.pod(name).with_(batching=None if name == self.silent else batching)
            for name, batching in self.pods.items()
        )
        serving = ServingState(
            exists=True,
            desired_replicas=2,
            ready_replicas=2,
            updated_replicas=2,
            model_ready=True,
            pods=pods,
        )
        return factories.snapshot(model=self.model, serving=serving)

    @property
    def latency_ms(self):
        """The larger a batch the longer it takes; the slower pod counts."""
        return 10.0 * max(batching.max_batch_size for batching in self.pods.values())

    def step(self, event):
        """Let the operator look once, and something happen meanwhile."""
        self.now_s += STEP_S
        self.silent = "b" if event == "a pod is silent" else ""
        if event == "a pod drifts":
            self.pods["a"] = Batching(max_batch_size=16)
        done = self._planned(event)
        self.state = done.state
        if done.actuation is None:
            self._write(conditions.applied(done.status, self._now) if done.objects else done.status)
        else:
            self._change(done, event)
        if event == "restarts":
            self.state = recalled(self.model)

    @property
    def _now(self):
        return NOW + timedelta(seconds=self.now_s)

    def _planned(self, event):
        failures = 500 if event == "failures" else 0
        window = factories.window(
            ended_at_s=float(self.now_s), latency_ms=self.latency_ms, failures=failures
        )
        return plan(
            self.snapshot,
            window=window if event in {"window", "failures"} else None,
            state=self.state,
            now=self._now,
            encode=pbtxt.encode,
            control_key="key",
            environment=Environment(operator_namespace="ferryman-system"),
        )

    def _change(self, done, event):
        change = done.actuation
        begun = conditions.applied(record_started(done.status, change, self._now), self._now)
        self._write(begun)
        if change.actuator == "Reload":
            self.reloads.append((self.now_s, change.reason))
        names = [view.name for view in change.pods]
        changed = {"dies after the first write": [], "dies with one pod changed": names[:1]}
        for name in changed.get(event, names):
            self.pods[name] = change.after
        if event.startswith("dies"):
            self.state = recalled(self.model)
            return
        outcome = "Refused" if event in {"refused", "half refused"} else "Applied"
        if outcome == "Refused":
            for name in names if event == "refused" else names[1:]:
                self.pods[name] = change.before
        self._write(record_outcome(begun, change, outcome, "", self._now))

    def _write(self, status):
        self.status = InferenceModelStatus.model_validate(status.as_dict())

    def check(self):
        """Check what holds after every write, whoever died."""
        under_way = [c for c in self.status.batching.changes if c.outcome == "InProgress"]
        assert under_way == [*self.status.batching.changes[:1]][: len(under_way)]
        for index, (at_s, reason) in enumerate(self.reloads):
            if reason in TUNED:
                hour = [t for t, _ in self.reloads[:index] if at_s - t < 3600]
                assert len(hour) < GUARDRAILS.max_reloads_per_hour
                assert not hour or at_s - hour[-1] >= GUARDRAILS.min_seconds_between_reloads


def lived(events, spec=SPEC):
    """Return a life of these events."""
    life = Life(spec)
    for event in events:
        life.step(event)
        life.check()
    return life


@examples(150)
@given(st.lists(EVENTS, min_size=1, max_size=30))
def test_one_change_at_a_time_and_never_more_reloads_than_allowed(events):
    lived(events)


@examples(30)
@given(st.lists(EVENTS, min_size=1, max_size=15))
def test_a_troubled_life_ends_where_a_calm_one_does(events):
    """Once nothing happens any more the objective is met, by pods that have what is applied."""
    calm = ["window"] * CALM_STEPS
    peaceful, troubled = lived(calm), lived([*events, *calm])
    for life in (peaceful, troubled):
        applied = life.status.batching.applied
        assert life.latency_ms <= TARGET_MS, [c.as_dict() for c in life.status.batching.changes]
        assert set(life.pods.values()) == {applied}
        assert all(c.outcome != "InProgress" for c in life.status.batching.changes)
        rest = life.status
        life.step("nothing")
        assert life.status == rest, "it is at rest"


@examples(60)
@given(st.lists(EVENTS, min_size=1, max_size=20))
def test_a_fixed_batching_is_what_every_life_ends_with(events):
    fixed = SPEC.with_(mode="Fixed", initial=Batching(max_batch_size=4))
    life = lived([*events, *["nothing"] * 3], fixed)
    life.now_s += 3600  # what was refused or drifted is forgotten after an hour
    for _ in range(3):
        life.step("nothing")
    assert life.status.batching.applied == fixed.initial
    assert set(life.pods.values()) == {fixed.initial}
