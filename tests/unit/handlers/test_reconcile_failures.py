"""Writes that fail, operators that die, objects that cannot be read."""

import asyncio
import copy

import pytest

from ferryman.api.resources import model_key
from ferryman.clients.kubernetes_errors import PermanentError, TemporaryError
from tests import factories
from tests.fakes import run_virtually, wire
from tests.unit.handlers.cluster import Cluster
from tests.unit.handlers.scenes import normalised, prepare


@pytest.mark.parametrize("position", range(8))
def test_a_write_that_fails_is_tried_again_and_the_end_is_the_same(position):
    def end_of(errors):
        cluster = Cluster()

        async def main():
            await place_while(cluster, errors)
            await cluster.settle(30)
            await cluster.end()

        run_virtually(main())
        return normalised(cluster)

    assert end_of([*[None] * position, TemporaryError("busy")]) == end_of([])


@pytest.mark.parametrize("position", range(8))
def test_an_operator_that_dies_at_any_write_leaves_what_the_next_one_completes(position):
    def end_of(errors):
        cluster = Cluster()

        async def main():
            await place_while(cluster, errors)
            await cluster.settle(0.2)
            cluster.api.fail_next = []
            await cluster.end()
            await cluster.begin()
            await cluster.settle(30)
            await cluster.end()

        run_virtually(main())
        return normalised(cluster)

    hang = [*[None] * position, *[TemporaryError("dead")] * 100]
    assert end_of(hang) == end_of([])


async def place_while(cluster, errors):
    """Begin, and create a model whose next writes end as told."""
    await cluster.begin()
    cluster.api.put("runtimes", wire(factories.runtime()))
    cluster.node()
    await cluster.settle()
    cluster.api.fail_next = errors
    cluster.model()


def test_a_watch_that_lags_behind_makes_no_decision_twice(cluster, play):
    async def script(cluster):
        cluster.api.put("runtimes", wire(factories.runtime()))
        cluster.node()
        cluster.model()
        cluster.api.delay_watch = True
        await cluster.settle(20)
        cluster.api.catch_up()
        cluster.api.delay_watch = False
        await cluster.settle(20)

    play(script)
    assert [event[2] for event in cluster.api.events] == ["LeastWorkload"]
    assert cluster.writes()["apply", "Deployment"] == 1


def test_an_object_that_cannot_be_read_is_stalled_and_heals_when_it_can(cluster, play):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        broken = copy.deepcopy(cluster.api.get("models", "resnet50"))
        broken["spec"]["objectives"] = {"latency": {"targetMilliseconds": "soon"}}
        cluster.api.put("models", broken)
        await cluster.settle()
        seen = cluster.condition("Stalled"), cluster.condition("Ready"), cluster.writes()
        kept = cluster.status()["placement"]["nodeType"]
        message = next(
            c["message"] for c in cluster.status()["conditions"] if c["type"] == "Stalled"
        )
        await cluster.beat(700)
        again = cluster.writes()
        cluster.model()
        await cluster.settle()
        return *seen, kept, message, again

    stalled, ready, writes, kept, message, again = play(script)
    assert stalled == ("True", "InvalidSpec")
    assert ready == ("False", "InvalidSpec")
    assert "spec.objectives.latency.targetMilliseconds" in message
    assert kept == "cpu-small", "the rest of the status stays"
    assert writes == again, "told once"
    assert cluster.condition("Stalled") is None


@pytest.mark.parametrize(
    "status", [{"conditions": "none"}, {"placement": 7}, {"batching": {"applied": "x"}}]
)
def test_a_status_that_cannot_be_read_does_not_stop_the_operator(cluster, play, status):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        broken = {**cluster.api.get("models", "resnet50"), "status": status}
        cluster.api.put("models", broken)
        cluster.model("other")
        await cluster.settle(5)

    play(script)
    assert cluster.condition("Placed", "other") == ("True", "LeastWorkload")


def test_a_model_deleted_while_it_is_reconciled_ends_quietly(cluster, play, caplog):
    async def script(cluster):
        prepare(cluster)
        await asyncio.sleep(0)
        cluster.api.drop("models", "resnet50", "default")
        await cluster.settle(60)

    play(script)
    assert model_key("default", "resnet50") not in cluster.api.indices["models"]
    assert "tried again" not in caplog.text


def test_an_event_that_cannot_be_posted_is_no_reason_to_decide_again(cluster, play, caplog):
    async def script(cluster):
        async def post_event(*_arguments):
            raise PermanentError("events are forbidden", status=403)

        cluster.api.post_event = post_event
        prepare(cluster)
        await cluster.settle()

    play(script)
    assert cluster.writes()["apply", "Deployment"] == 1
    assert "an event was not posted" in caplog.text
