"""Figures of pipelines and of their steps: shown while known, and gone with the pipeline."""

from tests import factories
from tests.unit.handlers.pipelines.scenes import KEY, put, serving

READS = {"prepare": "image", "detect": "prepare.output"}


def sample(cluster, name, **labels):
    where = {"namespace": "default", "pipeline": "chain", **labels}
    return cluster.metrics.registry.get_sample_value(f"ferryman_pipeline_{name}", where)


def test_each_step_is_shown_with_what_it_does(cluster, play):
    async def script(cluster):
        server = await serving(cluster)
        server.asked_per_s = 20.0
        await cluster.settle(60)
        shown = {
            step: (
                sample(cluster, "step_workers", step=step),
                sample(cluster, "step_limiting", step=step),
                sample(cluster, "step_service_milliseconds", step=step),
            )
            for step in ("prepare", "detect", "read")
        }
        whole = sample(cluster, "requests_per_second"), sample(cluster, "objectives_met")
        steps = [factories.pipeline_step(name, reads) for name, reads in READS.items()]
        put(cluster, factories.pipeline(steps=steps))
        await cluster.settle(10)
        fewer = sample(cluster, "step_workers", step="read")
        cluster.api.drop("pipelines", KEY.name, "default")
        await cluster.settle(5)
        return shown, whole, fewer

    shown, whole, fewer = play(script)
    assert shown["detect"] == (1, 1, 30)
    assert shown["read"][:2] == (1, 0)
    assert (whole[0] > 18, whole[1]) == (True, 1)
    assert fewer is None
    for name in ("requests_per_second", "latency_milliseconds", "objectives_met"):
        assert sample(cluster, name) is None
    assert sample(cluster, "step_workers", step="detect") is None
