"""Texts measured and cut without being parsed, against Python's own parser."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.clients.bounded.text import Bounds, ListSplitter, TooLargeError, measure, members
from tests.cpu_time import cpu_s

_strings = st.text(alphabet='ab"\\{}[],:\n\u00e9', max_size=6)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _strings,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_strings, inner, max_size=4),
    max_leaves=20,
)


def depth(value):
    """Return how many objects and lists are within one another."""
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, dict | list) else 0


def count(value):
    """Return the entries of all objects and lists."""
    inner = list(value.values()) if isinstance(value, dict) else value
    return len(inner) + sum(map(count, inner)) if isinstance(value, dict | list) else 0


def text(value, **how):
    """Return a value as the bytes of JSON."""
    return json.dumps(value, **how).encode()


@given(value=_values, ascii_only=st.booleans())
def test_a_text_is_as_deep_as_what_it_says_and_has_no_more_values_than_counted(value, ascii_only):
    found = measure(text(value, ensure_ascii=ascii_only))
    assert found.depth == depth(value)
    assert found.values >= count(value)


@given(value=st.dictionaries(_strings, _values, max_size=5), indent=st.sampled_from([None, 1]))
def test_the_members_of_an_object_are_what_it_says(value, indent):
    found = members(text(value, indent=indent))
    assert {name: json.loads(part) for name, part in found.items()} == value


@pytest.mark.parametrize("other", [b"", b"[1]", b"7", b'"{}"', b"{", b"}", b'{"a', b"nonsense"])
def test_what_is_no_object_has_no_members(other):
    assert members(other) == {}


@given(
    items=st.lists(st.dictionaries(_strings, _values, max_size=3), max_size=5),
    data=st.data(),
)
def test_a_list_in_pieces_is_cut_into_its_items(items, data):
    whole = {"apiVersion": "v1", "items": items, "metadata": {"continue": "x\\", "resource": "1"}}
    rest, found, splitter = text(whole), [], ListSplitter.start()
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        found += splitter.feed(rest[:size])
        rest = rest[size:]
    assert [json.loads(item) for item in found] == items
    assert json.loads(splitter.envelope) == whole | {"items": [0] * len(items)}


def test_only_one_item_of_a_list_is_held():
    splitter = ListSplitter.start()
    piece = b'{"a":"' + b"x" * 1000 + b'"},'
    list(splitter.feed(b'{"items":['))
    for _ in range(100):
        list(splitter.feed(piece))
        assert splitter.pending_bytes < 1000
    list(splitter.feed(piece[:500]))
    assert splitter.pending_bytes > 500


BOUNDS = Bounds(size_bytes=1000, depth=3, values=10)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param({"a": {"b": [1]}}, None, id="within"),
        pytest.param("{[" * 100, None, id="brackets in a string are no depth"),
        pytest.param("," * 100, None, id="commas in a string are no values"),
        pytest.param({"a": {"b": [[]]}}, "4 levels deep, 3 at most", id="too deep"),
        pytest.param([0] * 11, "values, 10 at most", id="too many values"),
        pytest.param("x" * 1000, "1_002 bytes, 1_000 at most", id="too long"),
    ],
)
def test_what_is_out_of_bounds_is_not_parsed(value, words):
    if words is None:
        assert BOUNDS.loads(text(value)) == value
        return
    with pytest.raises(TooLargeError, match=words):
        BOUNDS.loads(text(value))


@pytest.mark.parametrize("start", [b'{"a":', b'{"'], ids=["in a value", "in a name"])
@pytest.mark.parametrize(
    "unit",
    [b"[", b"[[],", b'{"a":', b'"', b'\\"', b"\\", b"{}", b",", b"x"],
    ids=lambda unit: unit.decode(),
)
def test_no_text_takes_long(unit, start):
    hostile = start + unit * (1_500_000 // len(unit)) + b'":1}'

    def read():
        measure(hostile)
        with suppress(ValueError):
            members(hostile)
        list(ListSplitter.start().feed(hostile))

    # It takes 0.02 to 1 s; what grew with the square of the length would take hours.
    assert cpu_s(read, runs=1) < 20
