"""One sampler for each pipeline: whole windows of the pipeline and of all its steps."""

import asyncio

from ferryman.handlers.pipelines.sampling import PipelineSubject, PipelineTuning
from ferryman.handlers.sampling import PATIENCE
from ferryman.handlers.servers import Servers
from tests import factories
from tests.fake_pipelines import FakePipelineServer
from tests.fakes import FakeTritons, run_virtually, seconds
from tests.unit.handlers.pipelines.scenes import IP, KEY, SERVICE_S

PIPELINE = factories.pipeline()
PODS = (factories.pod("pod-1", ip=IP),)


def observe(script, *, read=None):
    """Run a script with a sampler and a server; return [(second, window)]."""
    delivered = []

    async def main():
        tritons, server = FakeTritons(), FakePipelineServer("chain", SERVICE_S)
        server.asked_per_s, server.ensemble.ready = 20.0, True
        tritons.holding[IP] = server.models

        def deliver(key):
            delivered.append((seconds(), tuning.take(key)))

        servers = Servers(tritons.connect)
        tuning = PipelineTuning(read or servers.statistics, deliver, clock=seconds)
        await script(tuning, server)
        await tuning.close()
        return len(asyncio.all_tasks())

    assert run_virtually(main()) == 1, "no sampler is left behind"
    return delivered


def subject(*pods):
    return PipelineSubject.of(PIPELINE, pods or PODS, "key")


def test_windows_tell_of_the_pipeline_and_of_each_step():
    async def script(tuning, _server):
        tuning.watch(subject())
        await asyncio.sleep(40)

    [(_, window)] = observe(script)
    assert set(window.steps) == {"prepare", "detect", "read"}
    assert 500 < window.requests.requests <= 620
    assert window.steps["detect"].compute_ms == 30.0


def test_a_change_voids_the_window_it_falls_into():
    async def script(tuning, server):
        tuning.watch(subject())
        await asyncio.sleep(20)
        tuning.changed(KEY, 2.0)
        # Triton loads the ensemble anew, whose counters then begin anew.
        server.ensemble.served = server.ensemble.waited_s = 0.0
        await asyncio.sleep(34)

    [(at_s, window)] = observe(script)
    assert at_s > 50
    assert window.requests.requests > 0


def test_pods_that_are_not_ready_are_not_observed():
    async def script(tuning, _server):
        tuning.watch(subject(factories.pod(ready=False)))
        await asyncio.sleep(40)

    assert observe(script) == []


def test_without_pods_it_stops():
    async def script(tuning, _server):
        tuning.watch(subject())
        await asyncio.sleep(5)
        tuning.watch(subject(factories.pod(ready=False)))
        await asyncio.sleep(60)
        tuning.forget(KEY)

    assert observe(script) == []


def test_pods_that_fall_silent_are_told_of_once_and_what_was_begun_is_void():
    async def script(tuning, server):
        tuning.watch(subject())
        await asyncio.sleep(10)
        server.silent = True
        await asyncio.sleep(PATIENCE + 20)
        server.silent = False
        await asyncio.sleep(31)

    delivered = observe(script)
    assert [window for _, window in delivered[:1]] == [None]
    assert len(delivered) == 2
    assert delivered[1][1].requests.seconds == 30.0


def test_a_reading_that_fails_unforeseen_does_not_end_the_observation():
    failed = []

    async def read(*_arguments):
        failed.append(seconds())
        raise RuntimeError("nobody foresaw this")

    async def script(tuning, _server):
        tuning.watch(subject())
        await asyncio.sleep(4)

    observe(script, read=read)
    assert len(failed) > len(SERVICE_S) * 2
