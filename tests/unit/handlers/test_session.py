"""One session: what kopf is told, and the ways in which a session ends."""

import asyncio
import logging
from dataclasses import replace

import kopf
import pytest

from ferryman.api.resources import model_key
from ferryman.clients.kubernetes_errors import TemporaryError
from ferryman.clients.kubernetes_transport import Configuration
from ferryman.handlers import audit, session
from ferryman.handlers.health import Health
from ferryman.handlers.metrics import Metrics
from ferryman.handlers.reconciling.common import Clocks
from ferryman.handlers.running.connection import credentials
from ferryman.handlers.running.teardown import CutOffError
from ferryman.handlers.session import Dependencies, Scope, StaleError
from ferryman.handlers.watch import OURS, WATCHED
from tests import factories
from tests.fakes import (
    FakeKubernetes,
    FakeTritons,
    node_object,
    now,
    run_virtually,
    seconds,
    wire,
)

SCOPE = Scope("ferryman-system", "")


def test_kopf_is_set_for_an_operator_that_writes_nothing_of_kopfs_own():
    settings = kopf.OperatorSettings()
    session.configure(settings)
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.peering.standalone
    selectors = settings.watching.label_selectors
    assert selectors["", "v1", "pods"] == OURS
    assert ("", "v1", "nodes") not in selectors, "nodes are not ours: all of them are watched"


@pytest.mark.parametrize(
    ("token", "scheme", "bare"),
    [("Bearer abc", "Bearer", "abc"), ("abc", None, "abc"), (None, None, None)],
    ids=["a bearer token", "a token without a scheme", "none"],
)
def test_credentials_are_handed_to_kopf(token, scheme, bare):
    async def main():
        configuration = Configuration(host="https://127.0.0.1:6443")
        configuration.ssl_ca_cert, configuration.cert_file = "/ca", "/cert"
        if token:
            configuration.api_key["BearerToken"] = token
        return await credentials(configuration)

    info = run_virtually(main())
    assert (info.server, info.ca_path, info.certificate_path) == (
        "https://127.0.0.1:6443",
        "/ca",
        "/cert",
    )
    assert (info.scheme, info.token) == (scheme, bare)


class Kopf:
    """Stands in for kopf: calls what a session registered, as kopf would."""

    def __init__(self, monkeypatch, script):
        self.script, self.asked = script, {}
        monkeypatch.setattr(kopf, "spawn_tasks", self.spawn)
        monkeypatch.setattr(kopf, "run_tasks", self.run)

    async def spawn(self, **asked):
        """Take note of what a session asks for."""
        self.asked = asked
        return []

    async def run(self, tasks, ignored):
        """Begin, do what the test says, and end."""
        assert tasks == []
        assert asyncio.current_task() not in ignored, "it is one of the session's own"
        handlers = self.asked["registry"]._activities.get_all_handlers()
        self.activities = {handler.fn.__name__: handler.fn for handler in handlers}
        api = self.api
        await self.activities["begin"](settings=kopf.OperatorSettings(), **api.indices)
        try:
            await self.script(self)
        finally:
            await self.activities["end"]()

    def event(self, index, body, kind="ADDED"):
        """Tell of an event, as kopf would."""
        handlers = self.asked["registry"]._watching.get_all_handlers()
        handler = next(h for h in handlers if h.id == f"{index}-events")
        return handler.fn(event={"type": kind}, body=body)


def hold(monkeypatch, script, *, scope=SCOPE):
    """Hold a session in which kopf does this; return kopf and what was called."""
    found, called = Kopf(monkeypatch, script), []

    async def main():
        found.api, found.stop = FakeKubernetes(), asyncio.Event()
        found.metrics, found.health = Metrics(), Health(seconds)
        tritons = FakeTritons()
        dependencies = Dependencies(
            found.api,
            tritons.connect,
            Clocks(now, seconds),
            found.health,
            found.metrics,
            b"m" * 32,
        )

        async def login():
            return Configuration(host="https://127.0.0.1:6443")

        await session.run(
            dependencies, scope, login, found.stop, lambda: called.append("own signals")
        )

    run_virtually(main())
    return found, called


def test_a_session_watches_reconciles_and_ends_with_its_work(monkeypatch):
    async def script(told):
        api = told.api
        assert told.health.ready
        profile = factories.profile()
        for index, body in (
            ("runtimes", wire(factories.runtime())),
            ("nodes", node_object()),
            ("profiles", wire(profile)),
            ("models", wire(factories.model())),
        ):
            await told.event(index, api.put(index, body))
        await asyncio.sleep(3)
        assert api.get("models", "resnet50")["status"]["placement"]["nodeType"] == "cpu-small"
        given = await told.activities["log_in"]()
        assert given.server == "https://127.0.0.1:6443"
        await given.aiohttp_session.close()

    told, called = hold(monkeypatch, script)
    assert called == ["own signals"]
    assert told.asked["clusterwide"]
    assert not told.health.ready


def test_a_session_is_held_to_the_namespaces_that_it_was_given(monkeypatch):
    async def script(_told):
        pass

    told, _ = hold(monkeypatch, script, scope=Scope("ferryman-system", "", ("team-a", "team-b")))
    assert told.asked["namespaces"] == ("team-a", "team-b")
    assert "clusterwide" not in told.asked


def test_an_index_keeps_what_decisions_read_by_its_key(monkeypatch):
    kept = {}

    async def script(told):
        for handler in told.asked["registry"]._indexing.get_all_handlers():
            kept[str(handler.id)] = handler.fn

    hold(monkeypatch, script)
    assert set(kept) == set(WATCHED)

    async def main():
        ours = await kept["models"](body=wire(factories.model()))
        nobodys = await kept["pods"](body={"metadata": {"name": "p", "namespace": "n"}})
        return ours, nobodys

    ours, nobodys = run_virtually(main())
    assert set(ours) == {model_key("default", "resnet50")}
    assert set(ours[model_key("default", "resnet50")]) == {"metadata", "spec", "status"}
    assert nobodys == {}, "a pod without our label is no model's"


def test_told_to_stop_it_ends_what_still_lists(monkeypatch):
    async def lists_forever(told):
        told.stop.set()
        await asyncio.sleep(3600)

    told, _ = hold(monkeypatch, lists_forever)
    assert not told.health.ready


def test_a_cancellation_that_nobody_asked_for_is_passed_on(monkeypatch):
    async def cancelled(_told):
        raise asyncio.CancelledError

    with pytest.raises(CutOffError):
        hold(monkeypatch, cancelled)


def test_missed_deletions_end_the_session_as_stale(monkeypatch, caplog):
    async def script(told):
        await told.asked["stop_flag"].wait()

    async def missed(*_):
        await asyncio.sleep(1)
        return {("nodes", "uid-1"), ("pods", "uid-2")}

    monkeypatch.setattr(audit, "wait_for_stale_objects", missed)
    with pytest.raises(StaleError, match="2 deletions were missed"):
        hold(monkeypatch, script)
    [said] = [record for record in caplog.records if record.message == "deletions were missed"]
    assert said.objects == ["nodes/uid-1", "pods/uid-2"]


def test_what_is_there_is_asked_of_the_namespaces_that_are_served(monkeypatch):
    asked = []

    async def looks(_kubernetes, _indices, namespaces):
        asked.append(namespaces)
        await asyncio.sleep(9)

    async def script(_told):
        await asyncio.sleep(1)

    monkeypatch.setattr(audit, "wait_for_stale_objects", looks)
    hold(monkeypatch, script, scope=replace(SCOPE, namespaces=("team-a",)))
    assert asked == [("team-a",)]


def test_a_task_that_had_ended_is_said_when_the_session_ends(monkeypatch, caplog):
    async def breaks(*_):
        raise RuntimeError("out of order")

    async def script(_told):
        await asyncio.sleep(1)

    monkeypatch.setattr(audit, "wait_for_stale_objects", breaks)
    hold(monkeypatch, script)
    assert "a task had ended" in caplog.text


@pytest.mark.parametrize(
    ("error", "traced"),
    [
        pytest.param(TemporaryError("no answer"), False, id="the API server's answer has none"),
        pytest.param(ValueError("a fault of ours"), True, id="a fault of ours has one"),
    ],
)
def test_a_reconcile_that_fails_is_said_with_a_trace_only_where_it_helps(caplog, error, traced):
    caplog.set_level(logging.WARNING)
    metrics = Metrics()
    dependencies = Dependencies(
        FakeKubernetes(), FakeTritons().connect, Clocks(now, seconds), None, metrics, b""
    )

    async def main():
        session.Session(dependencies, SCOPE)._failed(model_key("default", "m"), error, 2.0)

    run_virtually(main())
    [said] = caplog.records
    assert (said.model, said.pause_s, said.why) == ("default/m", 2.0, str(error))
    assert bool(said.exc_info) == traced
    assert metrics.reconciles.labels("error")._value.get() == 1
