"""The graph of a pipeline against what its definition says, and against paths told one by one."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferryman.api.pipelines.wires import Source, parse
from ferryman.core.pipelines.graph import Graph, GraphStep, Reader, listed
from tests.unit.core.pipelines import ocr

MANY = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(
    ("wire", "source"),
    [
        ("image", Source(None, "image")),
        ("detect.boxes", Source("detect", "boxes")),
        ("detect.input.1:0", Source("detect", "input.1:0")),
    ],
)
def test_a_wire_names_a_step_up_to_its_first_dot(wire, source):
    assert parse(wire) == source
    assert str(source) == wire


def graph(after, outputs=()):
    """Return a graph by which steps each step reads; `in` is read where there are none."""
    steps = [
        GraphStep(
            name,
            {f"x{n}": Source(each, "y") for n, each in enumerate(before)}
            or {"x": Source(None, "in")},
        )
        for name, before in after.items()
    ]
    return Graph(("in",), tuple(steps), {name: Source(name, "y") for name in outputs})


DIAMOND = {"d": "bc", "b": "a", "c": "a", "a": ""}


def test_a_specification_is_read_as_it_is_stated():
    read = Graph.of(ocr.pipeline(ocr.SPEC).spec)

    assert read.names == ("prepare", "detect", "crop", "classify", "recognise", "join")
    assert read.after["join"] == ("classify", "recognise")
    assert read.after["crop"] == ("detect",)
    assert read.concurrent == {frozenset(("classify", "recognise"))}
    assert read.readers[Source(None, "image")] == (
        Reader("prepare", "image"),
        Reader("crop", "image"),
    )
    assert read.readers[Source("join", "text")] == (Reader(None, "text"),)


def test_steps_are_ordered_by_what_they_read_and_otherwise_as_stated():
    assert graph(DIAMOND).order == ("a", "b", "c", "d")
    assert graph({"z": "", "y": "z", "x": ""}).order == ("z", "y", "x")


@pytest.mark.parametrize(
    ("after", "forked"),
    [
        pytest.param(DIAMOND, True, id="branches that meet again"),
        pytest.param({"a": "", "b": "a", "c": "ab"}, False, id="a chain with a shortcut"),
        pytest.param({"a": "", "b": ""}, True, id="two steps that only share the request"),
        pytest.param({"a": ""}, False, id="one step"),
    ],
)
def test_a_graph_is_forked_where_two_steps_may_run_at_the_same_time(after, forked):
    assert graph(after).forked is forked


@pytest.mark.parametrize(
    ("after", "cycle"),
    [
        ({"a": "a"}, ("a",)),
        ({"a": "", "b": "ad", "c": "b", "d": "c"}, ("b", "c", "d")),
        (DIAMOND, ()),
    ],
)
def test_a_cycle_begins_with_the_step_that_is_stated_first(after, cycle):
    found = graph(after)
    assert found.cycle == cycle
    if cycle:
        with pytest.raises(ValueError, match="these steps wait for each other"):
            _ = found.order


def test_what_is_no_step_is_nobodys_predecessor():
    assert graph({"a": "z", "b": "a"}).after == {"a": (), "b": ("a",)}


@pytest.mark.parametrize(
    ("names", "words"), [("", "none"), ("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")]
)
def test_names_are_listed_as_in_a_sentence(names, words):
    assert listed(names) == words


def test_a_reader_is_told_in_words():
    assert str(Reader("crop", "boxes")) == "input boxes of step crop"
    assert str(Reader(None, "text")) == "output text of the pipeline"


@st.composite
def acyclic(draw):
    names = draw(st.permutations("abcdefgh"))[: draw(st.integers(1, 8))]
    after = {
        name: draw(st.sets(st.sampled_from(names[:n])) if n else st.just(set()))
        for n, name in enumerate(names)
    }
    return {name: sorted(after[name]) for name in draw(st.permutations(names))}


def paths(after, name):
    """Every way through the graph that ends with a step."""
    return [[*way, name] for each in after[name] for way in paths(after, each)] or [[name]]


@MANY
@given(after=acyclic(), seconds=st.fixed_dictionaries({n: st.integers(0, 9) for n in "abcdefgh"}))
def test_order_ancestors_and_the_longest_way_are_those_of_all_paths(after, seconds):
    found = graph(after)
    every = {name: paths(after, name) for name in after}
    place = {name: n for n, name in enumerate(found.order)}

    assert set(place) == set(after)
    assert all(place[before] < place[name] for name in after for before in after[name])
    assert found.ancestors == {
        name: {each for way in ways for each in way[:-1]} for name, ways in every.items()
    }
    assert found.longest(seconds) == max(
        sum(seconds[each] for each in way) for ways in every.values() for way in ways
    )
    assert found.concurrent == {
        frozenset((one, other))
        for one in after
        for other in after
        if one != other
        and not any(one in way for way in every[other])
        and not any(other in way for way in every[one])
    }


def test_whether_a_step_is_read():
    found = graph({"a": "", "b": "a", "c": "a"}, outputs="c")
    assert [name for name in found.names if found.is_read(name)] == ["a", "c"]
    assert graph({}).longest({}) == 0
