import logging

import pytest

from ferryman.api.resources import model_key
from ferryman.clients.triton import ControlKeyRefused, TritonUnavailable
from ferryman.core.snapshot import PodView
from ferryman.handlers.servers import Servers
from tests.fakes import FakeTritons, pod_object, run_virtually

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
