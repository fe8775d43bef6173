"""What ``ferryman doctor`` shows, the status that it ends with, and how a cluster is looked at."""

from dataclasses import replace

import pytest

from ferryman.cli import main
from ferryman.cli.looking.examine import facts_of
from ferryman.clients.bounded.objects import stub
from ferryman.clients.cluster import ApiServerError
from ferryman.core.doctor.facts import KINDS
from tests.unit.core.doctor.test_checks import SOUND


def ends_with(monkeypatch, facts, *arguments):
    monkeypatch.setattr("ferryman.cli.looking.examine.examine", lambda _: facts)
    return main.main(["doctor", *arguments])


def test_a_sound_cluster_ends_with_0_and_every_check_is_named(monkeypatch, capsys):
    assert ends_with(monkeypatch, SOUND) == 0
    assert "0 wrong, 0 unknown, 23 fine" in capsys.readouterr().out


def test_a_fault_ends_with_1_and_a_remedy(monkeypatch, capsys):
    assert ends_with(monkeypatch, replace(SOUND, kubernetes="v1.20.1"), "--faults") == 1
    said = " ".join(capsys.readouterr().out.split())

    assert "v1.20.1" in said
    assert "upgrade to 1.33 or later" in said
    assert "the agents run" not in said
    assert "2 wrong, 0 unknown, 21 fine" in said


def test_what_may_not_be_read_is_unknown_and_no_fault(monkeypatch, capsys):
    facts = replace(SOUND, unread={"nodes": "nodes is forbidden"})

    assert ends_with(monkeypatch, facts) == 0
    assert "nodes is forbidden" in " ".join(capsys.readouterr().out.split())


#: What a tenant may call an operator: its namespace comes before that of the installation.
TENANTS = {"metadata": {"name": "ferryman-operator", "namespace": "a-team"}, "spec": {}}


class Server:
    """An API server that refuses one kind, and whose operator is not ready."""

    def get(self, path):
        """Return what is served of our API."""
        assert path == "/apis/serving.ferryman.dev/v1alpha1"
        return {"resources": list(SOUND.objects["resources"])}

    def items(self, path, selector):
        """Return what is there."""
        if path == KINDS["nodes"][0]:
            raise ApiServerError(path, "nodes is forbidden", 403)
        if path == KINDS["operators"][0]:
            assert "component=operator" in selector
            return [TENANTS, *SOUND.objects["operators"]]
        if path == KINDS["grants"][0]:
            return list(SOUND.objects["grants"])
        if path == KINDS["models"][0]:
            return [stub(b'{"metadata": {"name": "poisoned", "namespace": "team"}}', "much")]
        return []

    def text(self, path, _query):
        """Return a page of the operator's."""
        assert path.startswith("/api/v1/namespaces/ferryman-system/services/ferryman-operator:http")
        if path.endswith("readyz"):
            raise ApiServerError(path, "waiting for the watches to list everything", 503)
        raise ApiServerError(path, "no endpoints available", 500)


def test_what_can_be_read_is_read_and_the_rest_is_said():
    facts = facts_of(Server(), "v1.36.3")

    assert facts.unread == {"nodes": "nodes is forbidden", "metrics": "no endpoints available"}
    assert facts.pages == {"readyz": "waiting for the watches to list everything"}
    assert facts.objects.keys() == KINDS.keys() - {"nodes"} | {"resources"}
    assert facts.objects["operators"] == SOUND.objects["operators"]
    assert (facts.of("models"), facts.too_large) == ((), ("models: team/poisoned",))


def test_what_calls_itself_an_operator_is_not_asked_where_it_is_not_known_which_one_is(monkeypatch):
    def items(server, path, selector):
        if path == KINDS["grants"][0]:
            raise ApiServerError(path, "clusterrolebindings is forbidden", 403)
        return known(server, path, selector)

    known = Server.items
    monkeypatch.setattr(Server, "items", items)
    facts = facts_of(Server(), "v1.36.3")

    why = "whose they are is not known: clusterrolebindings is forbidden"
    assert {kind: facts.unread[kind] for kind in ("operators", "agents", "readyz", "metrics")} == (
        dict.fromkeys(("operators", "agents", "readyz", "metrics"), why)
    )
    assert facts.pages == {}


@pytest.mark.parametrize(
    ("status", "objects", "unread"),
    [
        pytest.param(404, (), {}, id="there are no CRDs"),
        pytest.param(403, None, {"resources": "no"}, id="it may not be asked"),
    ],
)
def test_kinds_that_are_not_served_are_told_from_those_that_may_not_be_asked_for(
    monkeypatch, status, objects, unread
):
    def get(_, path):
        raise ApiServerError(path, "no", status)

    monkeypatch.setattr(Server, "get", get)
    facts = facts_of(Server(), "v1.36.3")

    assert facts.objects.get("resources") == objects
    assert facts.unread.items() >= unread.items()


def test_without_an_operator_its_pages_are_unknown(monkeypatch):
    monkeypatch.setattr(Server, "items", lambda *_: [])
    facts = facts_of(Server(), "v1.36.3")

    assert facts.unread == dict.fromkeys(("readyz", "metrics"), "there is no operator to ask")


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_programs_read_verdicts(form, monkeypatch, capsys):
    ends_with(monkeypatch, SOUND, "-o", form)

    assert "verdict" in capsys.readouterr().out
