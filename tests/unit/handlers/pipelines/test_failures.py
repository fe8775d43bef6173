"""Writes that fail, operators that die, servers that refuse or are silent: pipelines get there."""

import asyncio
import copy

import pytest

from ferryman.api.pipelines.inference_pipeline import BalancingSpec
from ferryman.api.pipelines.step import StepBalance
from ferryman.clients.kubernetes_errors import PermanentError, TemporaryError
from tests import factories
from tests.fakes import run_virtually
from tests.unit.handlers.cluster import Cluster
from tests.unit.handlers.pipelines.scenes import condition, put, serve, serving, status
from tests.unit.handlers.scenes import normalised

WORKERS = {"prepare": 1, "detect": 3, "read": 2}
READS = {"prepare": "image", "detect": "prepare.output", "read": "detect.output"}
FIXED = factories.pipeline(
    steps=[
        factories.pipeline_step(name, READS[name], initial=StepBalance(instances=count))
        for name, count in WORKERS.items()
    ],
    balancing=BalancingSpec(mode="Fixed"),
)


def workers(server):
    return {name: step.instances for name, step in server.steps.items()}


def end_of(errors, *, dies):
    """Change two steps while writes end as told; return what is there and what servers have."""
    cluster = Cluster()

    async def main():
        await cluster.begin()
        server = await serving(cluster)
        cluster.api.fail_next = list(errors)
        put(cluster, FIXED)
        if dies:
            await cluster.settle(0.2)
            cluster.api.fail_next = []
            await cluster.end()
            await cluster.begin()
        await cluster.settle(90)
        await cluster.end()
        return workers(server), server.ensemble.ready, server.loads

    found, ready, loads = run_virtually(main())
    objects = normalised(cluster)
    journal = objects["pipelines", "default", "chain"]["status"]["balancing"]
    journal.pop("changes")  # an interrupted change stays in it
    journal.pop("message"), journal.pop("reason")
    return found, ready, objects, loads


@pytest.mark.parametrize("position", range(5))
def test_a_write_that_fails_is_tried_again_and_the_end_is_the_same(position):
    errors = [*[None] * position, TemporaryError("busy")]
    assert end_of(errors, dies=False)[:3] == end_of([], dies=False)[:3]


@pytest.mark.parametrize("position", range(5))
def test_an_operator_that_dies_at_any_write_leaves_what_the_next_one_completes(position):
    hang = [*[None] * position, *[TemporaryError("dead")] * 100]
    found, ready, objects, loads = end_of(hang, dies=True)
    wanted, _, undisturbed, once = end_of([], dies=True)
    assert (found, ready) == (wanted, True) == (WORKERS, True)
    assert objects == undisturbed
    assert len(loads) <= 2 * len(once), "a change is made at most twice"


def test_an_operator_that_dies_between_two_steps_leaves_what_the_next_one_completes():
    cluster = Cluster()

    async def main():
        await cluster.begin()
        server = await serving(cluster)
        server.steps["read"].load = _never
        put(cluster, FIXED)
        await cluster.settle(0.2)
        await cluster.end()
        between = workers(server), status(cluster)["balancing"]["changes"][0]["outcome"]
        del server.steps["read"].load
        await cluster.begin()
        await cluster.settle(90)
        await cluster.end()
        return between, workers(server)

    between, after = run_virtually(main())
    assert between == ({"prepare": 1, "detect": 3, "read": 1}, "InProgress")
    assert after == WORKERS
    outcomes = [each["outcome"] for each in status(cluster)["balancing"]["changes"]]
    assert outcomes[-1] == "Interrupted"
    assert outcomes[0] == "Applied"


async def _never(_config, *, within_s=None, more_than=None):
    await asyncio.sleep(within_s or 3600)


def test_a_step_that_takes_the_ensemble_down_is_put_back_and_the_ensemble_serves(cluster, play):
    async def script(cluster):
        server = await serving(cluster)
        server.breaks = {"detect"}
        put(cluster, FIXED)
        await cluster.settle(20)
        return server

    server = play(script)
    assert workers(server) == {"prepare": 1, "detect": 1, "read": 1}
    assert server.ensemble.ready
    [change] = status(cluster)["balancing"]["changes"]
    assert change["outcome"] == "Refused"
    assert "did not serve the ensemble any more" in change["message"]
    assert status(cluster)["balancing"]["reason"] == "ConfigRefused"


def test_a_step_that_is_refused_leaves_those_before_it_as_they_were(cluster, play):
    async def script(cluster):
        server = await serving(cluster)
        server.steps["read"].refusal = "out of memory"
        put(cluster, FIXED)
        await cluster.settle(20)
        return server

    server = play(script)
    assert workers(server) == {"prepare": 1, "detect": 1, "read": 1}
    assert "out of memory" in status(cluster)["balancing"]["message"]


def test_an_ensemble_that_is_gone_is_loaded_again(cluster, play):
    async def script(cluster):
        server = await serving(cluster)
        server.ensemble.ready = False
        serve(cluster)
        await cluster.settle(10)
        return server

    server = play(script)
    assert server.ensemble.ready
    assert [model for model, _ in server.loads] == ["chain", "chain"]
    assert condition(cluster, "Ready")[0] == "True"


def test_an_ensemble_that_triton_refuses_is_told_in_its_words(cluster, play):
    async def script(cluster):
        server = await serving(cluster)
        server.ensemble.ready, server.ensemble.refusal = False, "no such model"
        serve(cluster)
        await cluster.settle(20)
        told = condition(cluster, "Ready")
        server.ensemble.refusal = ""
        await cluster.settle(120)
        return told

    state, reason, message = play(script)
    assert (state, reason) == ("False", "ModelLoadFailed")
    assert "no such model" in message
    assert condition(cluster, "Ready")[0] == "True", "it is tried again after a while"


def test_what_the_api_server_refuses_is_told_and_no_step_is_touched(cluster, play):
    async def script(cluster):
        server = await serving(cluster)
        cluster.api.refused = {"Deployment": PermanentError("quota", status=403)}
        longer = FIXED.spec.with_(longest_request_seconds=9)
        put(cluster, FIXED.with_(spec=longer))
        await cluster.settle(20)
        return server

    server = play(script)
    assert condition(cluster, "Ready")[1] == "ApplyRefused"
    assert workers(server) == {"prepare": 1, "detect": 1, "read": 1}


def test_servers_that_are_silent_are_waited_for(cluster, play):
    async def script(cluster):
        server = await serving(cluster)
        server.silent = True
        put(cluster, FIXED)
        await cluster.settle(60)
        during = status(cluster)["workers"]
        server.silent = False
        await cluster.settle(90)
        return during, server

    during, server = play(script)
    assert during == "prepare=1 detect=1 read=1"
    assert workers(server) == WORKERS


def test_an_object_that_cannot_be_read_is_stalled_and_heals_when_it_can(cluster, play):
    async def script(cluster):
        await serving(cluster)
        broken = copy.deepcopy(cluster.api.get("pipelines", "chain"))
        broken["spec"]["steps"] = "none"
        cluster.api.put("pipelines", broken)
        await cluster.settle()
        seen = condition(cluster, "Stalled")
        put(cluster)
        await cluster.settle(10)
        return seen

    assert play(script)[:2] == ("True", "InvalidSpec")
    assert condition(cluster, "Stalled") is None


def test_a_faulty_graph_is_told_and_what_serves_is_left_alone(cluster, play):
    async def script(cluster):
        await serving(cluster)
        before = cluster.api.get("deployments", "chain-pipeline")
        steps = [
            factories.pipeline_step("prepare", "image"),
            factories.pipeline_step("detect", "prepar.output"),
        ]
        put(cluster, factories.pipeline(steps=steps))
        await cluster.settle(10)
        return before

    before = play(script)
    assert cluster.api.get("deployments", "chain-pipeline") == before
    assert condition(cluster, "Ready")[:2] == ("False", "UnknownStep")
    [fault] = status(cluster)["faults"]
    assert (fault["step"], fault["tensor"]) == ("detect", "input")
