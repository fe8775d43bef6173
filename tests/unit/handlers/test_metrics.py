from tests import factories
from tests.fakes import wire


def shown(cluster):
    """Return the bounds shown of two models, and how many models are shown as placed."""
    sample = cluster.metrics.registry.get_sample_value
    bounds = [
        sample("ferryman_model_max_batch_size", {"namespace": "default", "model": name})
        for name in ("first", "second")
    ]
    return *bounds, sample("ferryman_models_placed", {"node_type": "cpu-small"})


def test_of_a_model_that_is_deleted_while_nobody_watches_nothing_stays(cluster, play):
    async def script(cluster):
        cluster.api.put("runtimes", wire(factories.runtime()))
        cluster.node()
        cluster.model("first")
        cluster.model("second")
        await cluster.settle()
        found = [shown(cluster)]
        await cluster.end()
        found.append(shown(cluster))
        cluster.api.drop("models", "first", "default")
        await cluster.begin()
        await cluster.settle()
        return [*found, shown(cluster)]

    watched, between, again = play(script)
    assert watched == (8, 8, 2)
    assert between == (None, None, 0)
    assert again == (None, 8, 1)
