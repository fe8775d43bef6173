"""Sessions one after the other, for as long as the process is to run."""

import asyncio
import logging
import os
import signal
from contextlib import asynccontextmanager
from itertools import pairwise
from types import SimpleNamespace

import pytest

from ferryman.clients.kubernetes_errors import ConflictError, PermanentError, TemporaryError
from ferryman.handlers import app
from ferryman.handlers.health import UNREADY_AFTER_S, Health
from ferryman.handlers.metrics import Metrics
from ferryman.handlers.running.leadership import Leadership
from ferryman.handlers.session import Scope
from tests.fakes import FakeKubernetes, run_virtually, seconds

SCOPE = Scope("ferryman-system", "")


class Kinds(FakeKubernetes):
    """An API server that serves our kinds after so many questions."""

    def __init__(self, served_after=0):
        super().__init__()
        self.missing, self.on_ask = served_after, lambda: None

    async def serves_kinds(self):
        """Say whether they are served by now."""
        self.on_ask()
        self.missing -= 1
        return self.missing < 0


class Stop:
    """The order to end the process, and what ends this session."""

    def __init__(self, process, session):
        self.set, self._session = process.set, session

    async def reaches_the_session(self):
        """Return when it does."""
        await self._session.wait()


class Turn(Leadership):
    """A turn that the test gives and takes."""

    def __init__(self):
        super().__init__(None, "me", seconds, None)
        self.given()

    def given(self):
        """Make it this operator's turn."""
        self.hindrance = None
        self.leads.set()
        self.lost.clear()

    def taken(self):
        """Make it another one's."""
        self.leads.clear()
        self.lost.set()


async def nothing():
    """Do nothing beside the supervisor."""


def supervise(monkeypatch, api, *sessions, runtimes=None, turn=None, first=nothing):
    """Run a supervisor whose sessions are these functions; return when each of them began."""
    began_s, left = [], list(sessions)

    async def run(dependencies, scope, login, stop, own_signals):
        assert (dependencies.kubernetes, scope) == (api, SCOPE)
        assert dependencies.master_key == b"m" * 32
        began_s.append(seconds())
        await left.pop(0)(Stop(api.supervisor.stop, stop), own_signals, login)

    monkeypatch.setattr(app.session, "run", run)
    monkeypatch.setattr(app, "time", SimpleNamespace(monotonic=seconds))

    async def main():
        supervisor = app.Supervisor(
            app.Options(SCOPE, "me", kubeconfig="k", context="c", runtimes=runtimes),
            api,
            Health(seconds),
            Metrics(),
            turn or Turn(),
        )
        api.supervisor = supervisor
        beside = asyncio.create_task(first())
        await supervisor.run()
        await beside

    run_virtually(main())
    return began_s


async def until_stopped(stop, _own_signals, _login):
    stop.set()


async def fails(_stop, _own_signals, _login):
    raise RuntimeError("the watch broke")


async def fails_late(_stop, _own_signals, _login):
    await asyncio.sleep(app.GOOD_SESSION_S + 1)
    raise RuntimeError("the watch broke")


async def ends(_stop, _own_signals, _login):
    """End as if told to, although nobody told it."""


def test_a_session_waits_for_our_kinds_and_says_so_once(monkeypatch, caplog):
    began_s = supervise(monkeypatch, Kinds(served_after=3), until_stopped)
    assert began_s == [3 * app.WAIT_FOR_KINDS_S]
    assert caplog.text.count("are not installed: waiting for them") == 1


def test_told_to_stop_while_kinds_are_missing_it_holds_no_session(monkeypatch):
    api = Kinds(served_after=9)
    api.on_ask = lambda: api.supervisor.stop.set()  # noqa: PLW0108  it is made later
    assert supervise(monkeypatch, api, until_stopped) == []


def test_a_session_that_fails_is_started_over_after_a_pause_that_grows(monkeypatch, caplog):
    began_s = supervise(monkeypatch, Kinds(), fails, fails, ends, until_stopped)
    pauses = [later - earlier for earlier, later in pairwise(began_s)]
    assert len(pauses) == 3
    assert 0 < pauses[0] < pauses[1] < pauses[2]
    whys = [record.why for record in caplog.records if "starts over" in record.message]
    assert whys[0] == "RuntimeError: the watch broke"
    assert whys[2] == "RuntimeError: kopf ended without an error and without being told to"


def test_after_a_good_session_the_pause_is_short_again(monkeypatch, caplog):
    supervise(monkeypatch, Kinds(), fails, fails, fails, fails_late, until_stopped)
    pauses = [record.pause_s for record in caplog.records if "starts over" in record.message]
    assert pauses[3] < pauses[2]


def test_sigterm_ends_it_all(monkeypatch):
    async def killed(stop, own_signals, _login):
        own_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(1):
            await stop.reaches_the_session()

    assert len(supervise(monkeypatch, Kinds(), killed)) == 1


def test_whoever_does_not_lead_stands_by_ready_until_it_is_its_turn(monkeypatch):
    api, turn = Kinds(), Turn()
    turn.taken()

    async def wait_long():
        await asyncio.sleep(2 * UNREADY_AFTER_S)
        health = api.supervisor.health
        health.answered()
        health.asked_at_s = seconds()
        assert (health.stands_by, health.hindrance(), health.problem()) == (True, None, None)
        turn.given()

    began_s = supervise(monkeypatch, api, until_stopped, turn=turn, first=wait_long)
    assert began_s[0] >= 2 * UNREADY_AFTER_S
    assert not api.supervisor.health.stands_by


def test_until_it_is_known_who_leads_an_operator_is_not_ready(monkeypatch):
    api, turn = Kinds(), Turn()
    turn.taken()
    turn.hindrance = "the Lease may not be read"

    async def look():
        await asyncio.sleep(1)
        assert not api.supervisor.health.stands_by
        api.supervisor.stop.set()

    assert supervise(monkeypatch, api, turn=turn, first=look) == []


def test_a_session_ends_when_another_operator_leads_and_the_next_waits(monkeypatch, caplog):
    turn = Turn()

    async def lost(stop, *_):
        turn.taken()
        await stop.reaches_the_session()
        asyncio.get_running_loop().call_later(20, turn.given)

    began_s = supervise(monkeypatch, Kinds(), lost, until_stopped, turn=turn)
    assert began_s[1] - began_s[0] == pytest.approx(20, abs=2 * app.LOOK_AT_TURN_S)
    assert "starts over" not in caplog.text, "that is no failure"


def test_a_session_logs_in_with_what_the_command_line_says(monkeypatch):
    async def load(kubeconfig, context):
        return kubeconfig, context

    async def logs_in(stop, _own_signals, login):
        assert await login() == ("k", "c")
        stop.set()

    monkeypatch.setattr(app, "load_configuration", load)
    assert len(supervise(monkeypatch, Kinds(), logs_in)) == 1


RUNTIMES = """\
apiVersion: serving.ferryman.dev/v1alpha1
kind: InferenceRuntime
metadata: {name: one}
---
---
apiVersion: serving.ferryman.dev/v1alpha1
kind: InferenceRuntime
metadata: {name: two}
"""


@pytest.mark.parametrize(
    ("error", "level", "words", "sessions"),
    [
        pytest.param(None, None, "", 1, id="they are applied"),
        pytest.param(
            ConflictError("field spec is theirs", status=409),
            logging.INFO,
            "the runtime was edited and stays as it is",
            1,
            id="one that somebody edited is theirs",
        ),
        pytest.param(
            PermanentError("it is malformed", status=422),
            logging.WARNING,
            "the runtime was not applied",
            1,
            id="one that is refused is said",
        ),
        pytest.param(
            TemporaryError("no answer"),
            logging.WARNING,
            "watching the cluster ended; it starts over",
            1,
            id="a server that does not answer is asked again",
        ),
    ],
)
def test_the_runtimes_that_came_along_are_applied_first(
    monkeypatch, tmp_path, caplog, error, level, words, sessions
):
    caplog.set_level(logging.INFO)
    (tmp_path / "a.yaml").write_text(RUNTIMES)
    api = Kinds()
    if error is not None:
        api.refused["InferenceRuntime"] = error
        api.on_ask = lambda: api.refused.clear() if seconds() else None
    began_s = supervise(monkeypatch, api, until_stopped, runtimes=tmp_path)
    assert len(began_s) == sessions
    said = [record for record in caplog.records if words and words in record.message]
    assert [record.levelno for record in said[:1]] == ([level] if level else [])
    applied = 2 if error is None or type(error) is TemporaryError else 0
    assert api.writes["apply", "InferenceRuntime"] == applied


def test_the_process_serves_its_health_while_it_supervises(monkeypatch):
    order = []

    @asynccontextmanager
    async def held(name, value):
        order.append(f"{name} begins")
        yield value
        order.append(f"{name} ends")

    async def load(*_):
        return "configuration"

    async def supervised(self):
        assert self.kubernetes == ("api", "transport")
        await asyncio.sleep(0)
        order.append("supervised")

    class Checked(Health):
        async def check(self, _kubernetes):
            """Note that the API server is asked, for as long as it takes."""
            order.append("checked")
            await asyncio.sleep(3600)

    monkeypatch.setattr(app, "load_configuration", load)

    def transport(*_, may_write_for_s=None, **__):
        name = "transport" if may_write_for_s else "lease"
        return held(name, name)

    monkeypatch.setattr(app, "Transport", transport)
    monkeypatch.setattr(Leadership, "taking_part", lambda self: held("turn", self.leases.transport))
    monkeypatch.setattr(app, "KubernetesApi", lambda transport: ("api", transport))
    monkeypatch.setattr(app.health, "serve", lambda *_, **__: held("pages", 8080))
    monkeypatch.setattr(app, "Health", Checked)
    monkeypatch.setattr(app.Supervisor, "run", supervised)
    monkeypatch.setattr(app, "gc", SimpleNamespace(set_threshold=order.append))
    run_virtually(app.run(app.Options(SCOPE, "me")))
    assert order == [
        app.COLLECT_AFTER,
        "lease begins",
        "transport begins",
        "pages begins",
        "turn begins",
        "checked",
        "supervised",
        "turn ends",
        "pages ends",
        "transport ends",
        "lease ends",
    ]


def test_servers_are_connected_to_with_the_operators_clock(monkeypatch):
    asked = []
    monkeypatch.setattr(
        app.triton, "connect", lambda *where, clock: asked.append((*where, clock)) or "server"
    )
    connection = app.connect_to_triton(seconds, lambda: 1.0)("10.0.0.1", "resnet50", "key")
    assert connection.server == "server"
    assert asked == [("10.0.0.1", "resnet50", "key", seconds)]
