import json
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.cli.files import own_file
from ferryman.core.fleet.fleet import Fleet

FLEET = """\
nodeTypes:
  - name: l4
    count: 1
    processors: [{class: gpu}]
models:
  - name: bert
    ratePerSecond: 5
    objectives: {throughput: {minPerSecond: 5}}
    serviceTimes: [{nodeType: l4, coefficients: {t0: 4}}]
"""
AS_JSON = json.dumps(yaml.safe_load(FLEET), indent="\t")
MERGED = """\
nodeTypes:
  - &l4
    name: l4
    count: 1
  - &gpu {processors: [{class: gpu}]}
  - {<<: [*l4, *gpu], name: t4}
  - {<<: *gpu, name: a10, <<: *l4}
"""


class RefusedError(Exception):
    """A file is none of its kind."""


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file's text."""

    def create(content):
        path = tmp_path / "fleet.yaml"
        path.write_text(content, encoding="utf-8")
        return path

    return create


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """Return where a file may be written again and again."""
    return tmp_path_factory.mktemp("own_file") / "fleet.yaml"


def refusal(path):
    with pytest.raises(RefusedError) as refused:
        own_file.read(path, Fleet, RefusedError)
    told = str(refused.value)
    assert told.startswith(str(path))
    return told


@pytest.mark.parametrize(
    ("content", "name", "rate"),
    [
        pytest.param(FLEET, "bert", 5, id="YAML is read"),
        pytest.param(AS_JSON, "bert", 5, id="JSON that is indented with tabs is read"),
        pytest.param(
            AS_JSON.replace("bert", r"\ud83d\ude00"),
            "\U0001f600",
            5,
            id="two escapes of JSON that make one character are one",
        ),
        pytest.param(
            AS_JSON.replace("bert", r"\\ud83d"),
            r"\ud83d",
            5,
            id="a backslash that is escaped begins no escape",
        ),
        pytest.param("\ufeff" + AS_JSON, "bert", 5, id="a byte order mark is no part of a file"),
        pytest.param(
            FLEET.replace("bert", "2026-11-21"),
            "2026-11-21",
            5,
            id="what looks like a date is text",
        ),
        pytest.param(
            FLEET.replace("bert", "1:30"), "1:30", 5, id="what looks like a time of day is text"
        ),
        pytest.param(
            AS_JSON.replace('"bert"', "NaN"), "NaN", 5, id="a bare NaN in JSON is text, as in YAML"
        ),
        pytest.param(
            FLEET.replace("ratePerSecond: 5", "ratePerSecond: 1e3"),
            "bert",
            1000,
            id="a number that YAML takes for text is a number to a field of numbers",
        ),
        pytest.param(
            AS_JSON.replace('"ratePerSecond": 5', '"ratePerSecond": 1e3'),
            "bert",
            1000,
            id="a number with an exponent is one in JSON too",
        ),
    ],
)
def test_what_is_well_formed_is_read(file, content, name, rate):
    model = own_file.read(file(content), Fleet, RefusedError).models[0]
    assert (model.name, model.rate_per_second) == (name, rate)


def test_fields_that_are_merged_may_be_overridden(file):
    values = own_file.load(file(MERGED), RefusedError)
    common = {"count": 1, "processors": [{"class": "gpu"}]}
    assert values["nodeTypes"][2:] == [{**common, "name": "t4"}, {**common, "name": "a10"}]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(
            '{"nodeTypes": [],\n\t"models": [],\n\t"models": []}',
            "line 3, column 2: the field 'models' is there twice, first at line 2, column 2:"
            " keep one of them",
            id="in JSON: told with both places",
        ),
        pytest.param(
            '{"a": "{\\"b\\": }", "b": [{"c": 1}, {"c": 2}], "d": {"e": 1, "e": 2}}',
            "line 1, column 61: the field 'e' is there twice, first at line 1, column 53",
            id="in JSON: only within one object, and what stands in a text is none",
        ),
        pytest.param(
            r'{"a": 1, "\u0061": 2}',
            "line 1, column 10: the field 'a' is there twice",
            id="in JSON: once with an escape",
        ),
        pytest.param(
            FLEET + "models: []\n",
            "line 10, column 1: the field 'models' is there twice, first at line 5, column 1:"
            " keep one of them",
            id="in YAML: told with both places",
        ),
        pytest.param(
            'a:\n  - {b: 1, "b": 2}\n',
            "line 2, column 12: the field 'b' is there twice",
            id="in YAML: once in quotes",
        ),
        pytest.param(
            "&k a: 1\n*k : 2\n", "the field 'a' is there twice", id="in YAML: once by an alias"
        ),
        pytest.param(
            "a: &x {b: 1}\nc: {<<: *x, d: 1, d: 2}\n",
            "line 2, column 19: the field 'd' is there twice",
            id="in YAML: beside fields that are merged",
        ),
    ],
)
def test_a_field_that_stands_twice_is_refused(file, content, told):
    path = file(content)
    assert refusal(path).startswith(f"{path}: ")
    assert told in refusal(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(
            '{"a": 1,\n "b" 2}',
            "this is neither JSON nor YAML: as JSON, line 2, column 6: Expecting ':' delimiter;"
            " as YAML, line 2",
            id="what may be meant as JSON or as YAML: both are told",
        ),
        pytest.param(
            "a: [1\n",
            "this is neither JSON nor YAML: line 2, column 1: while parsing a flow sequence that"
            " begins in line 1, ",
            id="a bracket that stays open: where it begins is told",
        ),
        pytest.param(
            "models:\n\t- a\n",
            "line 2, column 1: while scanning for the next token, found character '\\t' that"
            " cannot start any token, indent with spaces instead of tabs",
            id="YAML that is indented with tabs",
        ),
        pytest.param(
            "a: \0", "line 1, column 4: the character U+0000 is not allowed", id="a zero byte"
        ),
        pytest.param("a: 1\n---\nb: 1\n", "but found another document", id="two documents"),
        pytest.param("a: *b\n", "line 1, column 4: found undefined alias", id="an unknown alias"),
    ],
)
def test_what_is_neither_json_nor_yaml_is_told_with_its_place(file, content, told):
    shown = refusal(file(content))
    assert "is neither JSON nor YAML" in shown
    assert told in shown


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(
            "a: !!bool maybe\n",
            "line 1, column 4: 'maybe' cannot be read as bool: correct it, or if it is text put it"
            " in quotes, without a tag",
            id="a tag for true or false, before another word",
        ),
        pytest.param("a: !!timestamp x\n", "'x' cannot be read as timestamp", id="no time"),
        pytest.param("a: !!timestamp 2026-99-99\n", "cannot be read as timestamp", id="no day"),
        pytest.param(
            "a: !!timestamp {=: x}\n", "this cannot be read as timestamp", id="fields for a time"
        ),
        pytest.param("a: !!int x\n", "'x' cannot be read as int", id="a word for a number"),
        pytest.param("a: !!float ''\n", "cannot be read as float", id="nothing for a number"),
        pytest.param("a: 0b_\n", "'0b_' cannot be read as int", id="a number without digits"),
        pytest.param(
            f"a: !!float 1{':00' * 200}.0\n",
            "cannot be read as float",
            id="a number beyond all floats",
        ),
        pytest.param(
            f"a: {'1' * 5000}\n", "cannot be read as int", id="a number of 5,000 digits in YAML"
        ),
        pytest.param(
            f'{{"a":\t{"1" * 5000}}}',
            "a number has too many digits: write fewer",
            id="a number of 5,000 digits in JSON",
        ),
        pytest.param(
            'a: "\\U00110000"\n', "line 1, column 7: this cannot be read", id="no such character"
        ),
        pytest.param('a: "\\UFFFFFFFF"\n', "this cannot be read", id="a character beyond all"),
        pytest.param(
            r'{"a": "\ud800"}',
            "line 1, column 8: an escape stands for half a character: write the character itself",
            id="half a character in JSON",
        ),
        pytest.param(
            r'{"\ud83d\ud83d\ude00": 1}',
            "line 1, column 3: an escape stands for half a character",
            id="half a character in a name, before a whole one",
        ),
        pytest.param(
            'a: "\\ud800"\n',
            "line 1, column 4: an escape stands for half a character",
            id="half a character in YAML",
        ),
        pytest.param(
            "a: !!python/name:os.system x\n",
            "could not determine a constructor for the tag",
            id="a tag of Python",
        ),
        pytest.param("? [a]\n: 1\n", "found unhashable key", id="a list for a name"),
        pytest.param("[" * 100_000, "it is nested too deeply", id="100,000 brackets"),
        pytest.param("a: " + "[" * 1000, "it is nested too deeply", id="1,000 brackets in YAML"),
        pytest.param("- " * 1000, "it is nested too deeply", id="lists in lists in YAML"),
        pytest.param("{a: " * 1000, "it is nested too deeply", id="fields in fields in YAML"),
        pytest.param("&a !!str {=: *a}\n", "it is nested too deeply", id="a text of itself"),
        pytest.param("[" * 500 + "]" * 500, "", id="500 brackets that are closed"),
        pytest.param(
            "&a [*a]\n", "the whole file: must be fields with values", id="a list of itself"
        ),
        pytest.param("&a {<<: *a}\n", "nodeTypes: is required", id="fields of themselves"),
        pytest.param(
            "a: &a {" + ", ".join(f"k{n}: 1" for n in range(200)) + "}\n"
            "b: &b {<<: [" + ", ".join(["*a"] * 100) + "]}\n",
            "line 2, column 4: more than 10_000 fields are merged: write fewer",
            id="fields that a few lines bring together by the million",
        ),
        pytest.param("", "fleet.yaml is empty", id="nothing"),
        pytest.param("null", "the whole file: must be fields with values", id="null"),
        pytest.param(
            FLEET.replace("ratePerSecond: 5", "ratePerSecond: .nan"),
            "models[0].ratePerSecond: must be a finite number",
            id="no number in YAML",
        ),
        pytest.param(
            AS_JSON.replace('"ratePerSecond": 5', '"ratePerSecond": -Infinity'),
            "models[0].ratePerSecond: must be a finite number",
            id="infinity in JSON",
        ),
        pytest.param(
            AS_JSON.replace('"ratePerSecond": 5', f'"ratePerSecond": 1{"0" * 400}'),
            "models[0].ratePerSecond: is too large",
            id="a whole number beyond all floats",
        ),
        pytest.param(
            FLEET.replace("name: bert", "1: bert"), "models[0]", id="a number for a field's name"
        ),
    ],
)
def test_a_value_that_cannot_be_is_an_error_with_its_place(file, content, told):
    path = file(content)
    shown = refusal(path)
    assert shown.startswith(str(path))
    assert told in shown


@pytest.mark.parametrize(
    ("field", "instead", "told"),
    [
        pytest.param(
            "count: 1",
            "count: true",
            "nodeTypes[0].count: must be a number, not true or false",
            id="true is no count",
        ),
        pytest.param(
            "ratePerSecond: 5",
            "ratePerSecond: yes",
            "models[0].ratePerSecond: must be a number, not true or false",
            id="yes is no rate",
        ),
        pytest.param(
            "minPerSecond: 5",
            "minPerSecond: on",
            "models[0].objectives.throughput.minPerSecond: must be a number, not true or false",
            id="on is no throughput",
        ),
        pytest.param(
            "class: gpu",
            "class: gpu, count: true",
            "nodeTypes[0].processors[0].count: must be a number",
            id="true is no count of a list in a list",
        ),
        pytest.param(
            "ratePerSecond: 5",
            "ratePerSecond: 5\n    max_batch_size: true",
            "models[0].max_batch_size: must be a number",
            id="true is no number of a field by its name in code",
        ),
    ],
)
def test_true_and_false_are_no_numbers(file, field, instead, told):
    path = file(FLEET.replace(field, instead))
    assert f"{path}: {told}" in refusal(path)


def test_true_and_false_stand_where_they_belong(file):
    content = FLEET.replace("class: gpu", "class: gpu, exclusive: true")
    found = own_file.read(file(content), Fleet, RefusedError)
    assert found.node_types[0].processors[0].exclusive is True


def test_names_that_stand_twice_are_told_by_the_kind_of_file(file):
    other = "  - {name: l4, count: 0, processors: [{class: gpu}]}\nmodels:"
    told = refusal(file(FLEET.replace("models:", other)))
    assert "nodeTypes[1].name: l4 is that of nodeTypes[0], too" in told


def test_a_file_in_another_encoding_is_told_with_its_line(tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_bytes(b"nodeTypes: []\nmodels: \xe9\n")
    assert refusal(path) == f"{path} cannot be read: line 2 is not UTF-8: save it as UTF-8"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("nowhere", id="there is none"),
        pytest.param(".", id="a folder"),
        pytest.param("a\0b", id="no name at all"),
        pytest.param("\ud800", id="half a character"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path, name):
    assert "cannot be read" in refusal(tmp_path / name)


#: What trips a reader, one by one.
TOKENS = (
    *("", " ", "\n", "\t", "\0", "\x85", "\ufeff", "'", '"', "\\", ":", ",", "-", "?", "#", "%"),
    *("[", "]", "{", "}", "[" * 400, "{a: " * 400, "- " * 400, "]}", "---\n", "...\n", "|", ">"),
    *("&a ", "*a", "<<: ", "<<: *a\n", "=: ", "? ", "!!bool ", "!!int ", "!!float ", "!!str "),
    *("!!timestamp ", "!!binary ", "!!set ", "!!omap ", "!!null ", "!x ", "!!python/none "),
    *("true", "null", "~", "NaN", ".nan", ".inf", "1e999", "0b_", "0x_", "1:00:00.", "2026-99-99"),
    *(r'"\ud800"', r'"\ud83d\ude00"', r'"\UFFFFFFFF"', r'"\x"', "9" * 400, "9" * 5000, "-1", "0.5"),
    *("models: []\n", '"models": [],', "name: l4", "count", "class: cpu", "nodeTypes"),
)
SYMBOLS = "{}[]:,-?&*!|>'\"%@`#\\=<~ \t\n\0\x85abuxU01._é\U0001f600"


@st.composite
def mutations(draw):
    """Draw a valid document of which a few places were cut out or overwritten."""
    content = draw(st.sampled_from([FLEET, AS_JSON, MERGED]))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(start + 20, len(content))))
        content = content[:start] + draw(st.sampled_from(TOKENS)) + content[end:]
    return content


TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.text(SYMBOLS, max_size=60),
    st.lists(st.sampled_from(TOKENS), max_size=12).map("".join),
    mutations(),
)


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(st.binary(max_size=60), TEXTS.map(str.encode)))
def test_whatever_a_file_says_it_is_read_or_refused(scratch, content):
    scratch.write_bytes(content)
    with suppress(RefusedError):
        assert isinstance(own_file.read(scratch, Fleet, RefusedError), Fleet)
