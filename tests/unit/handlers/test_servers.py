import asyncio
import logging
from itertools import pairwise

import pytest

from ferryman.api.resources import model_key
from ferryman.api.statistics import ServerModel
from ferryman.clients.triton import ControlKeyRefused, TritonUnavailable
from ferryman.core.snapshot import PodView
from ferryman.handlers.servers import Servers
from tests.fakes import FakeTritons, pod_object, run_virtually, seconds

KEY = model_key("default", "resnet50")
IP = "10.0.0.1"
READY, STARTING = [pod_object(ip=IP)], [pod_object(ip=IP, ready=False)]


@pytest.fixture
def tritons():
    return FakeTritons()


@pytest.fixture
def told(caplog):
    """Return what was logged so far: levels and reasons."""
    caplog.set_level(logging.INFO, "ferryman.handlers.servers")
    return lambda: [(record.levelname, record.why) for record in caplog.records]


@pytest.fixture
def looks(tritons):
    """Look at one set of pods after the other; return what was found."""

    def run(*pods):
        async def main():
            servers = Servers(tritons.connect)
            return [await servers.poll(KEY, shown(each), "") for each in pods]

        return run_virtually(main())

    return run


def refuse(server, error=None):
    """Have a server answer looks with this error, or as ever."""

    async def model():
        raise error

    if error is None:
        del server.model
    else:
        server.model = model


def then(change):
    """Return ready pods to look at after a change."""

    def later():
        change()
        return READY

    return later


def shown(pods):
    """Return pods, after their change if there is one."""
    return pods() if callable(pods) else pods


def test_why_a_pod_gives_no_answer_is_logged_once(tritons, looks, told, caplog):
    refuse(tritons.at(IP), ControlKeyRefused("delete the pod"))
    assert looks(READY, READY, READY) == [{}, {}, {}]
    assert told() == [("WARNING", "delete the pod")]
    assert caplog.records[0].model == "default/resnet50"


def test_reasons_that_take_turns_are_logged_once_each(tritons, looks, told):
    server = tritons.at(IP)

    def turn(words):
        return then(lambda: refuse(server, TritonUnavailable(words)))

    looks(turn("refused"), turn("timed out"), turn("refused"), turn("timed out"))
    assert told() == [("WARNING", "refused"), ("WARNING", "timed out")]


def test_it_is_logged_again_after_the_pod_has_answered(tritons, looks, told):
    server = tritons.at(IP)
    error = TritonUnavailable("refused")
    refuse(server, error)
    found = looks(READY, then(lambda: refuse(server)), then(lambda: refuse(server, error)))
    assert [set(answers) for answers in found] == [set(), {READY[0]["metadata"]["name"]}, set()]
    assert told() == [("WARNING", "refused")] * 2


def test_it_is_logged_again_of_a_pod_that_comes_after_the_first_is_gone(tritons, looks, told):
    refuse(tritons.at(IP), TritonUnavailable("refused"))
    looks(READY, [], READY)
    assert told() == [("WARNING", "refused")] * 2


def test_a_pod_that_is_not_ready_may_still_be_starting(tritons, looks, told):
    refuse(tritons.at(IP), TritonUnavailable("refused"))
    looks(STARTING, STARTING, READY)
    assert told() == [("INFO", "refused"), ("WARNING", "refused")]


def test_that_counters_are_shown_says_nothing_of_looks(tritons, told):
    """Triton shows its counters to everyone, its configuration to whoever has the control key."""
    refuse(tritons.at(IP), ControlKeyRefused("delete the pod"))
    pods = (PodView(name="a", ip=IP, ready=True),)

    async def main():
        servers = Servers(tritons.connect)
        for _ in range(3):
            await servers.poll(KEY, READY, "")
            assert await servers.statistics(KEY, pods, "")

    run_virtually(main())
    assert told() == [("WARNING", "delete the pod")]


def test_a_pod_is_asked_for_the_model_by_its_name():
    asked = []

    async def main():
        tritons = FakeTritons()

        def connect(ip, model, control_key):
            asked.append((ip, model, control_key))
            return tritons.connect(ip, model, control_key)

        await Servers(connect).poll(KEY, READY, "secret")

    run_virtually(main())
    assert asked == [(IP, "resnet50", "secret")]


class Slow:
    """A Triton that lets whoever asks wait for five seconds, and perhaps answers then."""

    def __init__(self):
        self.asked = []
        self.answer = None

    async def model(self):
        """Take long."""
        self.asked.append(seconds())
        if self.answer is not None:
            return self.answer
        await asyncio.sleep(5)
        raise TritonUnavailable("no answer")

    async def close(self):
        """Have nothing to close."""


def test_a_pod_that_never_answers_is_asked_ever_more_rarely():
    slow = Slow()

    async def main():
        servers = Servers(lambda *_: slow)
        while seconds() < 600:
            await servers.poll(KEY, READY, "")
            await asyncio.sleep(1)

    run_virtually(main())
    pauses = [after - before for before, after in pairwise(slow.asked)]
    assert pauses[:2] == [6.0, 6.0], "three times it is asked as any other"
    assert pauses[2:6] == sorted(pauses[2:6])
    assert 60 <= pauses[-1] <= 67
    assert len(slow.asked) < 20


@pytest.mark.parametrize("change", ["it answers", "it is ready anew"])
def test_a_pod_that_changes_is_asked_as_any_other_again(change):
    slow = Slow()

    async def main():
        servers = Servers(lambda *_: slow)
        for _ in range(4):
            await servers.poll(KEY, READY, "")
        assert len(slow.asked) == 3, "it is left alone"
        if change == "it answers":
            slow.answer = ServerModel(ready=True)
            await asyncio.sleep(5)
            assert await servers.poll(KEY, READY, "")
            slow.answer = None
        else:
            await servers.poll(KEY, STARTING, "")
        before = len(slow.asked)
        await servers.poll(KEY, READY, "")
        return len(slow.asked) - before

    assert run_virtually(main()) == 1


def test_a_failure_that_is_quick_costs_nothing(tritons):
    tritons.at(IP).silent = True

    async def main():
        servers = Servers(tritons.connect)
        for _ in range(10):
            await servers.poll(KEY, READY, "")
        tritons.at(IP).silent = False
        return await servers.poll(KEY, READY, "")

    assert run_virtually(main())


def test_four_hundred_silent_pods_do_not_delay_another_namespaces_look():
    silent = [pod_object(f"p-{n}", ip=f"10.1.{n // 200}.{n % 200}") for n in range(400)]
    other = model_key("other", "theirs")
    fine = Slow()
    fine.answer = ServerModel(ready=True)

    async def main():
        servers = Servers(lambda ip, *_: fine if ip == IP else Slow())
        asking = asyncio.create_task(servers.poll(KEY, silent, ""))
        await asyncio.sleep(1)
        assert await servers.poll(other, READY, "")
        took_s = seconds() - 1
        await asking
        return took_s

    assert run_virtually(main()) == 0.0
