import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api import names
from ferryman.api.pods.scheduling import Toleration
from ferryman.core.benchmark.schedule import Measurement, due, given_up
from ferryman.core.benchmark.shortage import ResourceShortage
from tests.factories import (
    CPU_IMAGE,
    GPU_IMAGE,
    NOW,
    at,
    benchmark,
    node,
    processor,
    profile,
    runtime,
    runtime_processor,
)

CPU_RUNTIME = runtime(processors=[runtime_processor("cpu")])


def measurement(node="node-1", node_type="cpu-small", processor="cpu", runtime="triton"):
    return Measurement(node_type, processor, runtime, CPU_IMAGE, node)


def to_measure(profiles, *, runtimes=(CPU_RUNTIME,), running=(), nodes=None):
    """Return what is due; nodes are as the profiles say unless given."""
    views = [node(p.metadata.name, profile=p.status) for p in profiles] if nodes is None else nodes
    return due(runtimes, profiles, views, running, NOW)


def bare(name="node-1", node_type="cpu-small", **fields):
    """Return a profile without any table."""
    return profile(name, node_type, benchmarks=[], **fields)


def test_a_node_type_without_a_table_is_measured():
    assert to_measure([bare()]) == (measurement(),)


def test_a_measured_node_type_is_not_measured_again():
    assert to_measure([profile()]) == ()


def test_a_peer_of_a_measured_node_is_not_measured():
    assert to_measure([profile("node-1"), bare("node-2")]) == ()


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(benchmark(image="triton:older"), id="with another image"),
        pytest.param(benchmark(runtime="another"), id="under another runtime"),
        pytest.param(benchmark(processor="gpu"), id="of another class"),
        pytest.param(benchmark(node_type="cpu-large"), id="of what the node was before"),
    ],
)
def test_a_table_of_something_else_does_not_count(table):
    assert to_measure([profile(benchmarks=[table])]) == (measurement(),)


def test_a_runtime_without_a_reference_benchmark_measures_nothing():
    assert to_measure([bare()], runtimes=[runtime(measured=False)]) == ()


def test_a_class_that_the_node_lacks_is_not_measured():
    assert to_measure([bare()], runtimes=[runtime()]) == (measurement(),)


def test_the_least_utilised_node_is_taken():
    profiles = [
        bare("a", processors=[processor("cpu", None, 0.0)]),
        bare("b", processors=[processor("cpu", 0.3, 0.1)]),
        bare("c", processors=[processor("cpu", 0.2, 0.9)]),
    ]
    assert to_measure(profiles) == (measurement("c"),)


@pytest.mark.parametrize(
    "unfit",
    [
        pytest.param(node("a", profile=bare("a").status, ready=False), id="not ready"),
        pytest.param(node("a", profile=bare("a").status, taints=("x=:NoSchedule",)), id="tainted"),
        pytest.param(
            node("a", profile=bare("a").status, reserved={"reserved_cpu_millicores": 3900}),
            id="full",
        ),
        pytest.param(None, id="gone"),
    ],
)
def test_a_node_that_cannot_run_the_job_is_passed_over(unfit):
    views = [view for view in (unfit, node("b")) if view]
    assert to_measure([bare("a"), bare("b")], nodes=views) == (measurement("b"),)
    assert to_measure([bare("a")], nodes=[view for view in (unfit,) if view]) == ()


def test_a_taint_that_the_runtime_tolerates_keeps_no_benchmark_away():
    entry = runtime_processor("cpu", tolerations=(Toleration(key="x", operator="Exists"),))
    tainted = node("a", profile=bare("a").status, taints=("x=:NoSchedule",))
    tolerant = [runtime(processors=[entry])]
    assert to_measure([bare("a")], nodes=[tainted], runtimes=tolerant) == (measurement("a"),)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"heartbeat_age_s": 500}, id="its agent is silent"),
        pytest.param({"processors": [processor(unavailable="lost")]}, id="its processor is broken"),
    ],
)
def test_a_profile_that_cannot_be_trusted_is_passed_over(fields):
    assert to_measure([bare("a", **fields)]) == ()


def test_a_profile_that_does_not_know_its_type_yet_waits():
    assert to_measure([bare("a", "")]) == ()


def test_one_measurement_per_subject_at_a_time():
    assert to_measure([bare("a"), bare("b")], running=[measurement("a")]) == ()


def test_one_measurement_per_node_at_a_time():
    other = runtime("other", [runtime_processor("cpu")])
    [first] = to_measure([bare()], runtimes=[CPU_RUNTIME, other])
    assert first.runtime == "other"
    assert to_measure([bare()], runtimes=[CPU_RUNTIME, other], running=[first]) == ()


def test_different_nodes_measure_at_the_same_time():
    other = runtime("other", [runtime_processor("cpu")])
    started = to_measure([bare("a"), bare("b"), bare("c", "big")], runtimes=[CPU_RUNTIME, other])
    assert [(m.runtime, m.node_type, m.node) for m in started] == [
        ("other", "big", "c"),
        ("other", "cpu-small", "a"),
        ("triton", "cpu-small", "b"),
    ]


@pytest.mark.parametrize(
    ("failures", "age_s", "again"),
    [
        pytest.param(1, 599, False, id="10 minutes after the first failure, not sooner"),
        pytest.param(1, 600, True, id="10 minutes after the first failure"),
        pytest.param(3, 1799, False, id="30 minutes after the third, not sooner"),
        pytest.param(3, 1800, True, id="30 minutes after the third"),
        pytest.param(500, 3600, True, id="an hour at most"),
        pytest.param(0, 600, True, id="a table without rows counts as one failure"),
    ],
)
def test_a_failure_is_tried_again_after_a_while(failures, age_s, again):
    table = benchmark(points=(), error="boom", failures=failures, measured_at=at(-age_s))
    assert to_measure([profile(benchmarks=[table])]) == ((measurement(),) if again else ())


@pytest.mark.parametrize(
    ("requested", "again"),
    [
        pytest.param(at(-3599), True, id="after the last measurement"),
        pytest.param(at(-3600), False, id="answered by the last measurement"),
        pytest.param("please", False, id="not a time"),
        pytest.param(at(0), True, id="this very moment"),
        pytest.param(at(1), False, id="later: not yet"),
    ],
)
def test_a_measurement_is_repeated_on_request(requested, again):
    annotations = {names.ANNOTATION_BENCHMARK_REQUESTED: requested}
    profiles = [profile("node-1", annotations=annotations), bare("node-2")]
    assert to_measure(profiles) == ((measurement(),) if again else ())


def test_a_request_does_not_wait_for_the_back_off():
    table = benchmark(points=(), error="boom", failures=9, measured_at=at(-60))
    annotations = {names.ANNOTATION_BENCHMARK_REQUESTED: at(-1)}
    asked = profile(benchmarks=[table], annotations=annotations)
    assert to_measure([asked]) == (measurement(),)


def asked(name, **fields):
    return profile(name, annotations={names.ANNOTATION_BENCHMARK_REQUESTED: at(-1)}, **fields)


def test_the_node_that_was_asked_for_is_measured_even_if_it_is_busier():
    profiles = [profile("a"), asked("b", processors=[processor("cpu", 0.9)])]
    assert to_measure(profiles) == (measurement("b"),)


def test_where_the_node_that_was_asked_for_cannot_measure_a_peer_does():
    broken = [processor("cpu", unavailable="lost")]
    assert to_measure([profile("a"), asked("b", processors=broken)]) == (measurement("a"),)


# Drivers.

GPU_RUNTIME = runtime(processors=[runtime_processor("gpu")])


def with_gpu(name="node-1", *, table=None, rows=True, driver="550", **fields):
    """Return a profile whose GPU runs under a driver, with a table measured under another."""
    tables = [
        benchmark(
            processor="gpu",
            node_type="gpu-1",
            driver=table,
            **({} if rows else {"points": (), "error": "boom", "failures": 1}),
            **fields,
        )
    ]
    gpu = processor("gpu", fields.get("utilisation", 0.1), driver=driver)
    return profile(name, "gpu-1", processors=[gpu], benchmarks=tables)


def gpu_due(*profiles):
    return [m.driver for m in to_measure(list(profiles), runtimes=[GPU_RUNTIME])]


@pytest.mark.parametrize(
    ("table", "driver", "again"),
    [
        pytest.param("550", "550", False, id="the same driver"),
        pytest.param("535", "550", True, id="another driver"),
        pytest.param(None, "550", True, id="nobody knows under which"),
        pytest.param("535", None, False, id="the driver is not known now"),
        pytest.param(None, None, False, id="it never was"),
    ],
)
def test_a_table_is_measured_again_under_another_driver(table, driver, again):
    started = gpu_due(with_gpu(table=table, driver=driver))
    assert started == ([driver] if again else [])


@pytest.mark.parametrize(
    ("fields", "sharing"),
    [
        pytest.param({}, "", id="whole"),
        pytest.param({"sharing": "mig"}, "mig", id="MIG"),
        pytest.param(
            {"sharing": "time-slicing", "replicas": 4}, "time-slicing among 4", id="time-slicing"
        ),
        pytest.param({"sharing": "mps"}, "mps", id="MPS among who knows how many"),
    ],
)
def test_a_measurement_knows_how_the_device_is_shared(fields, sharing):
    [found] = to_measure([bare(processors=[processor("cpu", **fields)])])
    assert found.sharing == sharing


def test_while_drivers_are_rolled_out_the_table_of_either_will_do():
    assert gpu_due(with_gpu("a", table="535"), with_gpu("b", table="535", driver="535")) == []


def test_a_renewal_that_failed_waits_before_it_is_tried_again():
    def failed(age_s):
        failure = {"error": "boom", "failures": 2, "measured_at": at(-age_s)}
        return gpu_due(with_gpu(table="535", **failure))

    assert failed(1199) == []
    assert failed(1200) == ["550"]


def idle_at(utilisation, *, rows=True):
    tables = [benchmark(driver="1", **({} if rows else {"points": ()}))]
    busy = processor("cpu", utilisation, driver="2")
    return profile(processors=[busy], benchmarks=tables)


@pytest.mark.parametrize(
    ("utilisation", "rows", "starts"),
    [
        pytest.param(0.5, True, True, id="idle"),
        pytest.param(0.55, True, False, id="at work: the old table will do meanwhile"),
        pytest.param(None, True, True, id="unknown"),
        pytest.param(0.55, False, True, id="without any rows nothing could be placed: at once"),
    ],
)
def test_a_renewal_waits_until_the_processor_is_idle(utilisation, rows, starts):
    assert len(to_measure([idle_at(utilisation, rows=rows)])) == starts


def test_a_request_does_not_wait_for_idleness():
    busy = [processor("cpu", 1.0)]
    assert len(to_measure([asked("a", processors=busy)])) == 1


# Serving comes first.


def test_a_node_without_reservations_is_taken_before_an_idler_one():
    profiles = [
        bare("a", processors=[processor("cpu", 0.0, 0.0)]),
        bare("b", processors=[processor("cpu", 0.4, 0.4)]),
    ]
    reserved = {"reserved_cpu_millicores": 500}
    nodes = [node("a", profile=profiles[0].status, reserved=reserved), node("b")]
    assert to_measure(profiles, nodes=nodes) == (measurement("b"),)


def test_where_models_have_reserved_cpu_the_rest_is_the_limit():
    views = [node("node-1", profile=bare().status, reserved={"reserved_cpu_millicores": 1500})]
    [started] = to_measure([bare()], nodes=views)
    assert started.cpu_limit_millicores == 2500


@pytest.mark.parametrize(
    ("reserved", "starts"),
    [
        pytest.param({"reserved_cpu_millicores": 3400}, True, id="just enough CPU"),
        pytest.param({"reserved_cpu_millicores": 3401}, False, id="too little CPU for the client"),
        pytest.param({"reserved_memory_bytes": 8 * 2**30 - 768 * 2**20}, True, id="enough memory"),
        pytest.param({"reserved_memory_bytes": 8 * 2**30 - 767 * 2**20}, False, id="too little"),
    ],
)
def test_the_client_needs_room_beside_triton(reserved, starts):
    views = [node("node-1", profile=bare().status, reserved=reserved)]
    assert len(to_measure([bare()], nodes=views)) == starts


def short(node_type="cpu-small", *resources):
    return ResourceShortage(node_type, frozenset(resources or ("cpu",)))


def gpu_measurement():
    return Measurement("gpu-1", "gpu", "triton", GPU_IMAGE, "node-1")


@pytest.mark.parametrize(
    ("shortage", "running", "gives_way"),
    [
        pytest.param(short(), measurement(), True, id="CPU on the same node type"),
        pytest.param(short("cpu-small", "memory"), measurement(), True, id="memory"),
        pytest.param(short("cpu-large"), measurement(), False, id="another node type"),
        pytest.param(short("cpu-small", "nvidia.com/gpu"), measurement(), False, id="no GPU held"),
        pytest.param(short("gpu-1", "nvidia.com/gpu"), gpu_measurement(), True, id="the GPU"),
        pytest.param(
            short("cpu-small"), measurement(runtime="gone"), True, id="a runtime that is gone"
        ),
    ],
)
def test_a_measurement_gives_way_to_a_serving_pod(shortage, running, gives_way):
    runtimes = [runtime()]
    assert given_up([running], runtimes, [shortage]) == ((running,) if gives_way else ())


def test_nothing_is_started_where_a_serving_pod_waits():
    def started(shortage):
        profiles = [bare()]
        views = [node(profile=bare().status)]
        return due([CPU_RUNTIME], profiles, views, (), NOW, shortages=[shortage])

    assert started(short()) == ()
    assert started(short("cpu-large")) == (measurement(),)


FLEETS = st.lists(
    st.tuples(
        st.sampled_from(["small", "large"]),
        st.sampled_from([None, 0.0, 0.4, 0.9]),
        st.sampled_from([0, 500, 3900]),
        st.booleans(),
    ),
    max_size=5,
)


@given(FLEETS, st.sets(st.sampled_from(["small", "large"])))
def test_whatever_the_fleet_no_node_and_no_subject_is_measured_twice(fleet, waiting):
    profiles, nodes = [], []
    for index, (kind, utilisation, reserved, ready) in enumerate(fleet):
        busy = [processor("cpu", utilisation)]
        profiles.append(bare(f"n{index}", kind, processors=busy))
        views = {"reserved": {"reserved_cpu_millicores": reserved}, "ready": ready}
        nodes.append(node(f"n{index}", kind, profile=profiles[-1].status, **views))
    runtimes = [CPU_RUNTIME, runtime("other", [runtime_processor("cpu")])]
    lacking = [short(kind) for kind in waiting]
    started = due(runtimes, profiles, nodes, (), NOW, shortages=lacking)
    assert len({one.node for one in started}) == len(started)
    assert len({one.subject for one in started}) == len(started)
    assert not waiting & {one.node_type for one in started}
    assert given_up(started, runtimes, lacking) == ()
    able = {kind for kind, _, reserved, ready in fleet if ready and reserved < 3400}
    assert {one.node_type for one in started} == able - waiting
    assert due(runtimes, profiles, nodes, started, NOW, shortages=lacking) == tuple(
        one for one in due(runtimes, profiles, nodes, started, NOW) if one.node_type not in waiting
    )
