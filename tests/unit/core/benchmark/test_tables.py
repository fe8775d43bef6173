from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.benchmark.tables import MAX_TABLES, newest, published, tables
from tests.factories import CPU_IMAGE, at, benchmark, profile, runtime, runtime_processor

CPU_RUNTIME = runtime(processors=[runtime_processor("cpu")])


def bare(name="node-1", node_type="cpu-small", **fields):
    """Return a profile without any table."""
    return profile(name, node_type, benchmarks=[], **fields)


def test_newest_of_a_subject_and_image():
    old, new = benchmark(1.0, measured_at=at(-9)), benchmark(2.0, measured_at=at(-1))
    others = [benchmark(3.0, image="other"), benchmark(4.0, runtime="other", measured_at=at(0))]
    profiles = [profile("a", benchmarks=[new, *others]), profile("b", benchmarks=[old])]
    subject = ("cpu-small", "cpu", "triton")
    assert newest(profiles, subject, CPU_IMAGE) == new
    assert newest(profiles, subject, "never measured") is None


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
def test_one_round_of_copying_is_enough_and_peers_agree(described, measured):
    profiles = {
        f"n{i}": profile(f"n{i}", kind, benchmarks=own) for i, (kind, own) in enumerate(described)
    }
    for name, wanted in tables([CPU_RUNTIME], tuple(profiles.values()), measured).items():
        status = profiles[name].status.with_(benchmarks=wanted)
        profiles[name] = profiles[name].with_(status=status)
    assert tables([CPU_RUNTIME], tuple(profiles.values())) == {}
    kinds = {p.status.node_type: p.status.benchmarks for p in profiles.values()}
    assert all(p.status.benchmarks == kinds[p.status.node_type] for p in profiles.values())


def test_what_is_published_are_the_tables_and_the_price_of_the_type():
    new = benchmark(measured_at=at(0))
    profiles = [bare("a"), bare("b", "cpu-large", price_per_hour=9.0)]
    small, large = published((CPU_RUNTIME,), profiles, [new], {"cpu-small": 1.5})
    assert (small.status.benchmarks, small.status.price_per_hour) == ((new,), 1.5)
    assert (large.status.benchmarks, large.status.price_per_hour) == ((), None)
    assert published((CPU_RUNTIME,), [small, large], [], {"cpu-small": 1.5}) == [small, large]
