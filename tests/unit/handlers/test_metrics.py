import pytest

from ferryman.handlers.metrics import Metrics
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


@pytest.mark.parametrize(
    ("actuator", "reloads"),
    [
        pytest.param("Reload", 1, id="a reload is one"),
        pytest.param("InPlace", None, id="a change in place is none"),
        pytest.param("LiveCap", None, id="nor is one by the live cap"),
    ],
)
def test_changes_are_counted_by_actuator_and_reloads_alone(actuator, reloads):
    metrics = Metrics()
    metrics.changed(actuator, "Applied")
    sample = metrics.registry.get_sample_value

    labels = {"actuator": actuator, "outcome": "Applied"}
    assert sample("ferryman_batching_changes_total", labels) == 1
    assert sample("ferryman_batching_reloads_total", {"outcome": "Applied"}) == reloads
