import pytest

from ferryman.api.inference_model import ResourceRequirements
from ferryman.core.placement.fit import copies, misfit, requested, spread
from tests.factories import GIB, node, runtime_processor

CPU, GPU = runtime_processor("cpu"), runtime_processor("gpu")


def needs(limits=None, **requests):
    return ResourceRequirements(requests=requests, limits=limits or {})


@pytest.mark.parametrize(
    ("resources", "entry", "expected"),
    [
        pytest.param(None, CPU, {"cpu": "500m", "memory": "512Mi"}, id="the runtime's own"),
        pytest.param(needs(cpu="2"), CPU, {"cpu": "2"}, id="the model's instead"),
        pytest.param(
            needs({"cpu": "4", "memory": "2Gi"}, cpu="2"),
            CPU,
            {"cpu": "2", "memory": "2Gi"},
            id="a limit without a request is requested",
        ),
        pytest.param(
            needs(cpu="2"), GPU, {"cpu": "2", "nvidia.com/gpu": 1}, id="one device at least"
        ),
        pytest.param(
            needs({"nvidia.com/gpu": 2}), GPU, {"nvidia.com/gpu": 2}, id="more devices if stated"
        ),
    ],
)
def test_requested(resources, entry, expected):
    assert requested(resources, entry) == expected


@pytest.mark.parametrize(
    ("resources", "reserved", "expected"),
    [
        pytest.param(needs(cpu="4", memory="8Gi"), {}, None, id="exactly as much as there is"),
        pytest.param(
            needs(cpu="4001m"),
            {},
            "n has 4000m cpu free, 4001m needed",
            id="a thousandth of a core too much",
        ),
        pytest.param(
            needs(cpu="3"),
            {"reserved_cpu_millicores": 1500},
            "n has 2500m cpu free, 3000m needed",
            id="others have reserved CPU",
        ),
        pytest.param(
            needs(memory="1Gi"),
            {"reserved_memory_bytes": 8 * GIB},
            "n has 0Mi memory free, 1024Mi needed",
            id="others have reserved all memory",
        ),
        pytest.param(
            needs(cpu="5", memory="9Gi"),
            {},
            "n has 4000m cpu free, 5000m needed and 8192Mi memory free, 9216Mi needed",
            id="both are named",
        ),
        pytest.param(
            needs({"nvidia.com/gpu": 1}),
            {"reserved_devices": {"nvidia.com/gpu": 1}},
            "n has 0 nvidia.com/gpu free, 1 needed",
            id="the device is taken",
        ),
        pytest.param(
            needs({"example.com/npu": 1}),
            {},
            "n has 0 example.com/npu free, 1 needed",
            id="a device that the node does not have",
        ),
        pytest.param(
            needs(cpu="1"),
            {"reserved_cpu_millicores": 9000},
            "n has 0m cpu free, 1000m needed",
            id="overcommitted: none is free, not less",
        ),
    ],
)
def test_misfit(resources, reserved, expected):
    assert misfit(node("n", reserved=reserved), resources, CPU) == expected


def test_what_is_no_quantity_is_an_error():
    with pytest.raises(ValueError, match="plenty"):
        misfit(node(), needs(cpu="plenty"), CPU)


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        pytest.param({"cpu": "1"}, 4, id="by the CPU"),
        pytest.param({"cpu": "1", "memory": "3Gi"}, 2, id="by what there is least of"),
        pytest.param({"cpu": "5"}, 0, id="none"),
        pytest.param({"cpu": "0", "memory": "8Gi"}, 1, id="what is not wanted does not count"),
        pytest.param({}, 1_000_000, id="any number"),
    ],
)
def test_copies(requests, expected):
    assert copies(node(), requests) == expected


def test_replicas_are_spread_evenly_over_what_has_room():
    nodes = [node("a", allocatable={"cpu": "2"}), node("b"), node("c"), node("d")]
    assert spread(nodes, {"cpu": "1"}, 2, "a") == {"a": 1, "b": 1}
    assert spread(nodes, {"cpu": "1"}, 5, "c") == {"c": 2, "a": 1, "b": 1, "d": 1}
    assert spread(nodes, {"cpu": "3"}, 2, None) == {"b": 1, "c": 1}
    assert spread(nodes, {"cpu": "1"}, 0, "a") == {}


def test_what_fits_nowhere_waits_for_the_preferred_node():
    assert spread([node("a")], {"cpu": "3"}, 3, "a") == {"a": 3}
    assert spread([node("a")], {"cpu": "5"}, 3, None) == {}
