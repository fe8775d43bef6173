import asyncio

import pytest

from ferryman.api.resources import model_key
from ferryman.handlers.sampling import PATIENCE, Subject, Tuning
from ferryman.handlers.servers import Servers
from tests import factories
from tests.fakes import FakeTritons, run_virtually, seconds

KEY = model_key("default", "resnet50")
MODEL = factories.model(batching=None)


def subject(*ips, settings=None):
    pods = tuple(factories.pod(f"pod-{ip}", ip=ip) for ip in ips)
    chosen = settings or factories.window_settings(100, 30, 5)
    return Subject(KEY, pods, "key", chosen, 99)


def observe(script, tritons):
    """Run a script with the samplers on virtual time; return [(second, window)]."""
    delivered = []

    async def main():
        def deliver(key):
            delivered.append((seconds(), tuning.take(key)))

        servers = Servers(tritons.connect)
        tuning = Tuning(servers.statistics, deliver, clock=seconds)
        await script(tuning)
        await tuning.close()
        return len(asyncio.all_tasks())

    assert run_virtually(main()) == 1, "no sampler is left behind"
    return delivered


def test_windows_are_delivered_as_long_as_the_model_serves():
    tritons = FakeTritons()
    tritons.at("1").requests_per_s = 10.0

    async def script(tuning):
        tuning.watch(subject("1"))
        await asyncio.sleep(21)

    windows = observe(script, tritons)
    assert [at for at, _ in windows] == [10, 20]
    assert [window.requests for _, window in windows] == [100, 100]


def test_a_change_of_the_configuration_voids_the_window_it_falls_into():
    tritons = FakeTritons()
    tritons.at("1").requests_per_s = 10.0

    async def script(tuning):
        tuning.watch(subject("1"))
        await asyncio.sleep(6.5)
        tuning.changed(KEY)
        await asyncio.sleep(12)

    assert [at for at, _ in observe(script, tritons)] == [17], "10 s from the change on"


def test_windows_begin_when_a_change_shows():
    tritons = FakeTritons()
    tritons.at("1").requests_per_s = 10.0

    async def script(tuning):
        tuning.watch(subject("1"))
        await asyncio.sleep(6.5)
        tuning.changed(KEY, 2.0)
        await asyncio.sleep(14)

    assert [at for at, _ in observe(script, tritons)] == [19], "2 s later than at once"


@pytest.mark.parametrize(
    ("silent_s", "first_at_s"),
    [
        pytest.param(3, 10, id="a few readings are missed: the window goes on"),
        pytest.param(PATIENCE + 3, 21, id="the pod is lost: the window starts over without it"),
    ],
)
def test_a_pod_that_does_not_answer_is_waited_for_and_then_left_out(silent_s, first_at_s):
    tritons = FakeTritons()
    tritons.at("1").requests_per_s = 10.0
    tritons.at("2")

    async def script(tuning):
        tuning.watch(subject("1", "2"))
        await asyncio.sleep(2.5)
        tritons.at("2").silent = True
        await asyncio.sleep(silent_s)
        tritons.at("2").silent = False
        await asyncio.sleep(30 - seconds())

    windows = [at for at, window in observe(script, tritons) if window is not None]
    assert windows[0] == first_at_s


def test_pods_that_fall_silent_are_named_once_and_looked_at(caplog):
    tritons = FakeTritons()
    tritons.at("1").requests_per_s = 10.0
    tritons.at("2").silent = True

    async def script(tuning):
        tuning.watch(subject("1", "2", settings=factories.window_settings(10_000, 60, 60)))
        await asyncio.sleep(30)

    assert observe(script, tritons) == [(PATIENCE, None)]
    [record] = [record for record in caplog.records if hasattr(record, "pods")]
    assert (record.levelname, record.pods) == ("WARNING", ["pod-2"])


def test_without_ready_pods_nothing_is_observed():
    tritons = FakeTritons()

    async def script(tuning):
        tuning.watch(subject("1"))
        await asyncio.sleep(1)
        tuning.watch(subject())
        await asyncio.sleep(60)

    assert observe(script, tritons) == []


def test_a_forgotten_model_is_not_observed_any_more():
    tritons = FakeTritons()
    tritons.at("1").requests_per_s = 100.0

    async def script(tuning):
        tuning.watch(subject("1"))
        await asyncio.sleep(1)
        tuning.forget(KEY)
        await asyncio.sleep(60)

    assert observe(script, tritons) == []


def test_a_reading_that_breaks_is_logged_and_does_not_end_the_observation(caplog):
    broken = [True]

    async def read(_key, _pods, _control_key):
        if broken:
            raise KeyError(broken.pop())
        return {"pod-1": factories.statistics(seconds(), int(10 * seconds()))}

    async def main():
        windows = []
        tuning = Tuning(read, lambda key: windows.append(tuning.take(key)), clock=seconds)
        tuning.watch(subject("1"))
        await asyncio.sleep(15)
        await tuning.close()
        return windows

    assert len(run_virtually(main())) == 1
    assert "reading statistics failed" in caplog.text


def test_a_connection_that_is_closed_meanwhile_counts_as_no_answer():
    tritons = FakeTritons()
    tritons.at("1").requests_per_s = 10.0
    answer, closed = tritons.at("1").statistics, [True, True]

    async def statistics():
        if closed and seconds() >= 2:
            closed.pop()
            raise asyncio.CancelledError
        return await answer()

    tritons.at("1").statistics = statistics

    async def script(tuning):
        tuning.watch(subject("1"))
        await asyncio.sleep(15)

    assert [at for at, _ in observe(script, tritons)] == [10], "two readings were missed"


def test_only_ready_pods_with_an_address_are_read():
    pods = (
        factories.pod("a"),
        factories.pod("b", ready=False),
        factories.pod("c", ip=""),
    )
    assert [pod.name for pod in Subject.of(MODEL, pods, "key").pods] == ["a"]
    assert Subject.of(MODEL, pods, "key").percentile == 99
