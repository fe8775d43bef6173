"""Windows of servers that nobody wrote: whatever resets or is silent, sums are what happened."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.conditions import Reason
from ferryman.core.observation.objectives import judge
from ferryman.core.observation.window import WindowState, observe
from tests import factories
from tests.generated.examples import examples

_NS = 1_000_000


@dataclass
class Server:
    """A server that keeps its requests themselves: first in, first out, one batch at a time."""

    bound: int
    batch_s: int
    tells_pending: bool = True
    tells_rejections: bool = True
    waiting: int = 0
    running: int = 0
    until_s: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    batches: dict[int, tuple[int, int]] = field(default_factory=dict)

    def second(self, now_s, came, failing, rejecting):
        """Let a second pass: batches end and begin, and requests come; say how many ended well."""
        self.waiting += came
        done = 0
        if self.running and now_s >= self.until_s:
            done, self.running = self._ended(failing), 0
        if rejecting and self.waiting:
            self.counts["rejected"] += self.waiting
            self.waiting = 0
        if not self.running and self.waiting:
            self.running = min(self.bound, self.waiting)
            self.waiting -= self.running
            self.until_s = now_s + self.batch_s
        return done

    def _ended(self, failing):
        if failing:
            self.counts["failed"] += self.running
            return 0
        self.counts["served"] += self.running
        number, busy_ns = self.batches.get(self.running, (0, 0))
        self.batches[self.running] = (number + 1, busy_ns + self.batch_s * 1000 * _NS)
        return self.running

    def reset(self):
        """Load the model anew: what runs ends uncounted, the counters begin anew."""
        self.counts, self.batches = dict.fromkeys(COUNTS, 0), {}

    def shown(self, now_s):
        """Return what a reading shows."""
        served, failed, rejected = (self.counts[name] for name in COUNTS)
        return factories.statistics(
            now_s,
            served,
            batches=dict(self.batches),
            execution_count=sum(number for number, _ in self.batches.values()),
            failure_count=failed if self.tells_rejections else failed + rejected,
            rejected_count=rejected if self.tells_rejections else None,
            pending=self.waiting if self.tells_pending else None,
        )


COUNTS = ("served", "failed", "rejected")
SECONDS = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from(["", "", "", "", "", "", "fails", "rejects", "reset", "gap"]),
    ),
    min_size=5,
    max_size=120,
)


@st.composite
def servers(draw, **fields):
    """Return one to three servers of the same model."""
    return {
        f"pod-{number}": Server(
            draw(st.integers(1, 64)),
            draw(st.integers(1, 12)),
            **{"tells_pending": draw(st.booleans()), "tells_rejections": draw(st.booleans())}
            | fields,
        )
        for number in range(draw(st.integers(1, 3)))
    }


@st.composite
def settings_of_windows(draw):
    """Return when windows end."""
    least, more = draw(st.integers(1, 10)), draw(st.integers(0, 30))
    return factories.window_settings(draw(st.integers(1, 500)), least + more, least)


def watch(pods, seconds, settings):
    """Return all windows, the state that is left, and what really came, served, failed, left."""
    state, windows = WindowState(), []
    really = {"came": 0, "served": 0, "resets": 0, "gaps": 0}
    for now_s, (came, event) in enumerate(seconds):
        for pod in pods.values():
            if event == "reset":
                pod.reset()
            really["served"] += pod.second(now_s, came, event == "fails", event == "rejects")
            really["came"] += came
        really["resets"] += event == "reset"
        if event == "gap":
            really["gaps"] += 1
            continue
        shown = {name: pod.shown(now_s) for name, pod in pods.items()}
        state, ended = observe(
            state, shown, settings, percentile=99, now_s=float(now_s), changed_at_s=None
        )
        windows += [ended] if ended else []
    return windows, state, really


@examples(400)
@given(servers(), SECONDS, settings_of_windows())
def test_no_window_counts_more_than_happened_or_less_than_nothing(pods, seconds, settings):
    windows, _, really = watch(pods, seconds, settings)
    assert sum(each.requests for each in windows) <= really["served"]
    for each in windows:
        counts = (each.requests, each.inferences, each.failures, each.rejected or 0)
        rates = (each.requests_per_s, each.inferences_per_s, each.offered_inferences_per_s)
        assert min(*counts, *rates, each.pending or 0) >= 0
        assert all(count > 0 and ms >= 0 for count, ms in each.service_times.values())
        assert settings.min_seconds <= each.seconds
        assert sum(lasted for lasted, _ in each.arrived) <= each.seconds + 1e-9
        assert all(lasted > 0 and count >= 0 for lasted, count in each.arrived)
        assert (each.mean_latency_ms is None) == (each.requests == 0)
        if not any(pod.tells_pending for pod in pods.values()):
            assert each.pending is None
        if not each.failures:
            assert each.rejected is not None


@examples(300)
@given(servers(tells_pending=True, tells_rejections=True), SECONDS, settings_of_windows())
def test_without_resets_the_windows_together_are_what_happened(pods, seconds, settings):
    calm = [(came, "" if event in {"reset", "gap"} else event) for came, event in seconds]
    first = {name: pod.shown(0.0) for name, pod in pods.items()}
    windows, state, really = watch(pods, calm, settings)
    left = sum(total.requests for total in state.totals.values())
    assert sum(each.requests for each in windows) + left == really["served"]
    assert all(each.rejected is not None for each in windows)
    assert first.keys() == state.baselines.keys()


@examples(300)
@given(servers(tells_pending=True, tells_rejections=True), SECONDS, settings_of_windows())
def test_what_clients_send_is_counted_once_however_long_batches_take(pods, seconds, settings):
    """What runs is not seen: it is counted by the time that it ends, and never twice."""
    calm = [(came, event if event == "fails" else "") for came, event in seconds]
    windows, state, really = watch(pods, [(0, ""), *calm], settings)
    counted = sum(count for each in windows for _, count in each.arrived)
    counted += sum(count for _, count in state.sent.intervals)
    running = sum(pod.running for pod in pods.values())
    assert really["came"] - running <= counted <= really["came"]


@examples(300)
@given(servers(tells_pending=True, tells_rejections=True), SECONDS, settings_of_windows())
def test_who_waits_is_never_called_silent(pods, seconds, settings):
    windows, _, _ = watch(pods, seconds, settings)
    for each in windows:
        verdict = judge(factories.objectives(500), each)
        if verdict.reason == Reason.NO_TRAFFIC:
            assert each.failures or each.rejected or not each.pending
        if each.requests:
            assert verdict.met is not None


@examples(100)
@given(SECONDS, st.integers(2, 12), settings_of_windows())
def test_a_window_never_ends_for_a_queue_that_says_nothing_yet(seconds, batch_s, settings):
    """Before the most seconds a window ends only with something that ended in it."""
    pods = {"pod-0": Server(64, batch_s)}
    windows, _, _ = watch(pods, [(40, ""), *((came, "") for came, _ in seconds)], settings)
    for each in windows:
        if each.seconds < max(settings.max_seconds, settings.min_seconds):
            assert each.requests + each.failures + (each.rejected or 0) > 0


@pytest.mark.parametrize("batch_s", [1, 7])
def test_the_server_of_these_tests_serves_what_it_is_sent(batch_s):
    pod = Server(8, batch_s)
    done = sum(pod.second(now_s, 4 if now_s < 10 else 0, False, False) for now_s in range(200))  # noqa: FBT003
    assert (done, pod.waiting, pod.running) == (40, 0, 0)
