import asyncio

import pytest

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.clients.pbtxt import ConfigInvalid
from ferryman.clients.triton import ConfigRefused
from ferryman.core.changes import Actuation
from ferryman.handlers.actuate import Result, actuate
from tests import factories
from tests.fakes import FakeTriton

OLD, NEW = Batching(max_batch_size=8), Batching(max_batch_size=10)
IPS = ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def change(servers):
    pods = tuple(factories.pod(f"pod-{ip}", ip=ip) for ip in servers)
    actuation = Actuation(OLD, NEW, "Reload", Reason.TREND_INCREASE, "why", pods, "config")
    return asyncio.run(actuate(actuation, lambda pod: servers[pod.ip]))


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
