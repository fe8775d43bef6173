import asyncio

import pytest

from ferryman.actuation.actuate import MOST_SILENT, Result, actuate
from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.clients.kubernetes_errors import ForbiddenError, NotFoundError, TemporaryError
from ferryman.clients.pbtxt import ConfigInvalid
from ferryman.clients.triton import ConfigRefused
from ferryman.core.batching.changes import Actuation
from tests import factories
from tests.fakes import FakeTriton

OLD, NEW = Batching(max_batch_size=8), Batching(max_batch_size=10)
IPS = ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def change(servers):
    pods = tuple(factories.pod(f"pod-{ip}", ip=ip) for ip in servers)
    actuation = Actuation(OLD, NEW, "Reload", Reason.TREND_INCREASE, "why", pods, "config")
    return asyncio.run(actuate(actuation, lambda pod: servers[pod.ip]))


class Annotations:
    """The pods' annotations as an API server keeps them; some pods make it answer an error."""

    def __init__(self, **errors):
        self.bounds = {}
        self.errors = errors

    async def __call__(self, pod, bound):
        """Annotate a pod."""
        if pod.name in self.errors:
            raise self.errors[pod.name]
        self.bounds[pod.name] = bound


def change_capped(servers, annotations, actuator="LiveCap", after=NEW, pods=None, **fields):
    pods = pods or tuple(factories.capped_pod(name=name, ip=name) for name in servers)
    actuation = Actuation(OLD, after, actuator, Reason.TREND_INCREASE, "why", pods, "c", **fields)
    return asyncio.run(actuate(actuation, lambda pod: servers[pod.ip], annotations))


@pytest.fixture
def servers():
    return {ip: FakeTriton(OLD) for ip in IPS}


def test_all_pods_get_the_new_batching_in_turn(servers):
    assert change(servers) == Result("Applied")
    assert [server.batching for server in servers.values()] == [NEW] * 3


@pytest.mark.parametrize("refusal", [ConfigRefused("max_batch_size"), ConfigInvalid("unknown")])
def test_when_a_pod_refuses_those_already_changed_are_put_back(servers, refusal):
    servers[IPS[1]].refusal = refusal
    assert change(servers) == Result("Refused", str(refusal))
    assert [server.batching for server in servers.values()] == [OLD] * 3
    assert servers[IPS[0]].loads == [NEW, OLD]
    assert servers[IPS[2]].loads == [], "the third is left alone"


def test_a_silent_pod_is_left_to_be_converged_later(servers):
    servers[IPS[1]].silent = True
    assert change(servers) == Result("Applied", "no answer")
    assert servers[IPS[2]].batching == NEW


def test_when_no_pod_answers_the_change_did_not_happen(servers):
    for server in servers.values():
        server.silent = True
    assert change(servers).outcome == "Interrupted"


def test_a_pod_that_cannot_be_put_back_does_not_hide_the_refusal(servers):
    class Stubborn(FakeTriton):
        async def apply_batching(self, batching, *, config_pbtxt=None):
            self.silent = batching == OLD
            await super().apply_batching(batching, config_pbtxt=config_pbtxt)

    servers[IPS[0]] = Stubborn(OLD)
    servers[IPS[1]].refusal = ConfigRefused("too large")
    assert change(servers) == Result("Refused", "too large")


# The live cap


@pytest.fixture
def capped():
    return {name: FakeTriton(OLD) for name in ("a", "b", "c")}


def test_the_live_cap_annotates_every_pod_and_asks_no_triton(capped):
    annotations = Annotations()
    for server in capped.values():
        server.silent = True
    assert change_capped(capped, annotations) == Result("Applied")
    assert annotations.bounds == {"a": 10, "b": 10, "c": 10}


def test_a_pod_that_is_gone_is_no_failure(capped):
    gone = NotFoundError("not found", status=404)
    assert change_capped(capped, Annotations(b=gone)) == Result("Applied")
    all_gone = Annotations(a=gone, b=gone, c=gone)
    assert change_capped(capped, all_gone) == Result("Applied"), "their successors have it"


def test_an_annotation_that_is_forbidden_is_a_refusal_and_is_taken_back(capped):
    annotations = Annotations(b=ForbiddenError("may not patch pods", status=403))
    assert change_capped(capped, annotations) == Result("Refused", "may not patch pods")
    assert annotations.bounds == {"a": 8}


@pytest.mark.parametrize(
    ("silent", "outcome"),
    [pytest.param("b", "Applied", id="one pod"), pytest.param("abc", "Interrupted", id="all")],
)
def test_an_api_server_that_does_not_answer_leaves_pods_to_be_converged(capped, silent, outcome):
    annotations = Annotations(**dict.fromkeys(silent, TemporaryError("busy")))
    assert change_capped(capped, annotations).outcome == outcome


def test_a_reload_sets_the_annotation_before_it_loads(capped):
    seen = []

    class Watching(FakeTriton):
        async def apply_batching(self, batching, *, config_pbtxt=None):
            seen.append((dict(annotations.bounds), batching, config_pbtxt))

    annotations = Annotations()
    after = NEW.with_(max_queue_delay_microseconds=5)
    assert change_capped({"a": Watching(OLD)}, annotations, "Reload", after) == Result("Applied")
    assert seen == [({"a": 10}, after, "c")]


def test_a_refused_reload_takes_the_annotation_back(capped):
    capped["b"].refusal = ConfigRefused("too large")
    annotations = Annotations()
    assert change_capped(capped, annotations, "Reload").outcome == "Refused"
    assert annotations.bounds == {"a": 8, "b": 8}
    assert (capped["a"].loads, capped["b"].loads) == ([NEW, OLD], [])


def test_a_change_in_place_keeps_the_bound_that_was_loaded_and_the_annotation(capped):
    two = OLD.with_(instances=2)
    pods = (factories.capped_pod(8, start=32, name="a", ip="a"),)
    annotations = Annotations()
    assert change_capped(capped, annotations, "InPlace", two, pods) == Result("Applied")
    assert capped["a"].loads == [two.with_(max_batch_size=32)]
    assert annotations.bounds == {}
    capped["a"].refusal = ConfigRefused("no")
    assert change_capped(capped, annotations, "InPlace", two, pods).outcome == "Refused"
    assert annotations.bounds == {}


@pytest.mark.parametrize(
    ("takes", "has", "config"),
    [
        pytest.param(False, True, None, id="a pod made before the live cap: its own is changed"),
        pytest.param(True, True, "c", id="a pod made for it"),
        pytest.param(False, False, "c", id="a configuration without it"),
    ],
)
def test_only_pods_made_for_a_live_cap_load_its_configuration(takes, has, config):
    loaded = []

    class Noting(FakeTriton):
        async def apply_batching(self, _batching, *, config_pbtxt=None):
            loaded.append(config_pbtxt)

    pods = (factories.pod("a", ip="a", takes_live_cap=takes),)
    annotations = Annotations()
    servers = {"a": Noting(OLD)}
    change_capped(servers, annotations, "Reload", pods=pods, config_has_live_cap=has)
    assert loaded == [config]
    assert annotations.bounds == ({"a": 10} if takes else {})


def test_without_an_api_server_no_pod_can_have_a_live_cap():
    pods = (factories.capped_pod(),)
    actuation = Actuation(OLD, NEW, "LiveCap", Reason.TREND_INCREASE, "why", pods)
    with pytest.raises(NotImplementedError, match="is to be annotated"):
        asyncio.run(actuate(actuation, lambda _: FakeTriton(OLD)))


def test_after_a_few_silent_pods_the_rest_is_left_for_later():
    """A load that never returns takes minutes: hundreds would take days."""
    servers = {f"10.0.0.{n}": FakeTriton(OLD) for n in range(10)}
    for ip in list(servers)[1 : MOST_SILENT + 2]:
        servers[ip].silent = True
    found = change(servers)
    assert found.outcome == "Applied"
    assert found.message.endswith("6 further pods were left for later")
    changed = [server.batching == NEW for server in servers.values()]
    assert changed == [True] + [False] * 9
