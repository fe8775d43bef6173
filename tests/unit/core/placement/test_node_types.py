from ferryman.core.placement.nodes.node_types import Spread, summarise
from tests.factories import GIB, at, benchmark, node, processor


def summary(*nodes):
    [found] = summarise(nodes)
    return found


def test_nodes_are_grouped_by_type_and_those_without_a_profile_come_last():
    nodes = [node("c", "slow"), node("b", "fast"), node("x", has_profile=False), node("a", "slow")]
    found = summarise(nodes)
    assert [(kind.name, kind.nodes) for kind in found] == [
        ("fast", ("b",)),
        ("slow", ("a", "c")),
        ("", ("x",)),
    ]
    assert found[-1].processors == ()


def test_there_may_be_no_nodes():
    assert summarise([]) == ()


def test_free_is_what_usable_nodes_have_left_together_and_at_most():
    found = summary(
        node("a", reserved={"reserved_cpu_millicores": 3000, "reserved_memory_bytes": GIB}),
        node("b", reserved={"reserved_devices": {"nvidia.com/gpu": 1}}),
        node("c", ready=False),
        node("d", taints=("x=:NoSchedule",)),
    )
    assert (len(found.nodes), found.usable_nodes) == (4, 3)
    assert found.taints == ("x=:NoSchedule",)
    assert found.free == {"cpu": 9000, "memory": 23 * GIB, "nvidia.com/gpu": 2}
    assert found.largest_free == {"cpu": 4000, "memory": 8 * GIB, "nvidia.com/gpu": 1}


def test_only_what_models_can_ask_for_is_counted():
    found = summary(node(allocatable={"cpu": "4", "pods": "110", "ephemeral-storage": "1Gi"}))
    assert found.free == {"cpu": 4000}


def test_without_a_usable_node_nothing_is_free():
    assert summary(node(ready=False)).free == {}


def test_the_price_is_the_least_that_is_known():
    nodes = [node("a"), node("b").with_(price_per_hour=3.0), node("c").with_(price_per_hour=2.0)]
    assert summary(*nodes).price_per_hour == 2.0
    assert summary(node()).price_per_hour is None


def test_utilisation_is_the_least_and_the_mean_of_those_that_know_it():
    nodes = [
        node("a", processors=[processor("cpu", 0.2, None)]),
        node("b", processors=[processor("cpu", 0.5, None)]),
        node("c", processors=[processor("cpu", None, None)]),
    ]
    [cpu] = summary(*nodes).processors
    assert cpu.utilisation == Spread(least=0.2, mean=0.35, unknown=1)
    assert cpu.memory_utilisation == Spread(least=None, mean=None, unknown=3)
    assert cpu.processor.utilisation is None


def test_a_processor_that_is_out_is_told_with_its_node():
    nodes = [node("a"), node("b", processors=[processor("cpu", unavailable="XID 79")])]
    [cpu] = summary(*nodes).processors
    assert cpu.unavailable == ("b: XID 79",)
    assert cpu.processor.unavailable is None


def test_one_device_of_eight_that_is_out_of_use_is_told_as_one():
    gpus = processor("gpu", count=8, unavailable="GPU 3 is lost", unavailable_count=1)
    ((gpu,),) = (kind.processors for kind in summarise([node("a", processors=[gpus])]))
    assert gpu.unavailable == ("a: 1 of 8, GPU 3 is lost",)
    assert gpu.processor.unavailable_count is None


def test_each_class_has_the_newest_table_of_every_runtime():
    old, new = benchmark(1.0, measured_at=at(-9)), benchmark(2.0, measured_at=at(-1))
    other, before = benchmark(runtime="other"), benchmark(node_type="cpu-large")
    gpu = benchmark(processor="gpu")
    both = [processor("gpu"), processor("cpu")]
    found = summary(
        node("a", processors=both, benchmarks=[new, gpu, before]),
        node("b", processors=both, benchmarks=[old, other]),
    )
    assert [p.processor.processor_class for p in found.processors] == ["cpu", "gpu"]
    assert found.processors[0].benchmarks == (other, new)
    assert found.processors[1].benchmarks == (gpu,)
