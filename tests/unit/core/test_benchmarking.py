import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api import names
from ferryman.core.benchmarking import MAX_TABLES, Measurement, due, newest, tables
from tests.factories import (
    CPU_IMAGE,
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


def test_a_twin_of_a_measured_node_is_not_measured():
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
        pytest.param(
            node("a", profile=bare("a").status, untolerated_taints=("x=:NoSchedule",)), id="tainted"
        ),
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


def test_newest_of_a_subject_and_image():
    old, new = benchmark(1.0, measured_at=at(-9)), benchmark(2.0, measured_at=at(-1))
    others = [benchmark(3.0, image="other"), benchmark(4.0, runtime="other", measured_at=at(0))]
    profiles = [profile("a", benchmarks=[new, *others]), profile("b", benchmarks=[old])]
    subject = ("cpu-small", "cpu", "triton")
    assert newest(profiles, subject, CPU_IMAGE) == new
    assert newest(profiles, subject, "never measured") is None


# Tables are shared.


def shared(*profiles, measured=(), runtimes=(CPU_RUNTIME,)):
    return tables(runtimes, profiles, measured)


def test_every_node_of_a_type_gets_a_new_table():
    new = benchmark(measured_at=at(0))
    wanted = shared(bare("a"), profile("b"), bare("c", "cpu-large"), measured=[new])
    assert wanted == {"a": (new,), "b": (new,)}


def test_a_new_node_gets_the_tables_of_its_type():
    known = profile("a")
    assert shared(known, bare("b")) == {"b": known.status.benchmarks}


def test_profiles_that_have_what_they_should_are_not_written():
    assert shared(profile("a"), profile("b"), bare("c", "cpu-large")) == {}


def test_the_newest_table_wins():
    new = benchmark(2.0, measured_at=at(-1))
    assert shared(profile("a"), profile("b", benchmarks=[new])) == {"a": (new,)}


def test_the_present_image_wins_against_a_newer_table_of_another():
    present = benchmark(measured_at=at(-900))
    other = benchmark(image="triton:tried", measured_at=at(-1))
    wanted = shared(profile("a", benchmarks=[other]), profile("b", benchmarks=[present]))
    assert wanted == {"a": (present,)}


def test_tables_of_what_the_node_was_before_are_removed():
    assert shared(profile("a", "cpu-large", benchmarks=[benchmark()])) == {"a": ()}


def test_tables_of_a_runtime_that_is_gone_stay():
    assert shared(profile("a"), runtimes=[]) == {}


def test_tables_are_sorted_and_the_oldest_give_way_when_there_is_no_more_room():
    many = [benchmark(runtime=f"r-{i:02}", measured_at=at(-1000 + i)) for i in range(MAX_TABLES)]
    present = benchmark(measured_at=at(-5000))
    [kept] = shared(bare("a"), measured=[*many, present]).values()
    assert [table.runtime for table in kept] == [
        *(f"r-{i:02}" for i in range(1, MAX_TABLES)),
        "triton",
    ]


TABLES = st.lists(
    st.builds(
        lambda kind, name, image, age: benchmark(
            node_type=kind, runtime=name, image=image, measured_at=at(-age)
        ),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["triton", "other"]),
        st.sampled_from([CPU_IMAGE, "triton:older"]),
        st.integers(0, 3),
    ),
    max_size=3,
)
PROFILES = st.lists(st.tuples(st.sampled_from(["a", "b"]), TABLES), max_size=4)


@given(PROFILES, TABLES)
def test_one_round_of_copying_is_enough_and_twins_agree(described, measured):
    profiles = {
        f"n{i}": profile(f"n{i}", kind, benchmarks=own) for i, (kind, own) in enumerate(described)
    }
    for name, wanted in tables([CPU_RUNTIME], tuple(profiles.values()), measured).items():
        status = profiles[name].status.with_(benchmarks=wanted)
        profiles[name] = profiles[name].with_(status=status)
    assert tables([CPU_RUNTIME], tuple(profiles.values())) == {}
    kinds = {p.status.node_type: p.status.benchmarks for p in profiles.values()}
    assert all(p.status.benchmarks == kinds[p.status.node_type] for p in profiles.values())
