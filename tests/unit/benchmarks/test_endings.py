"""What the benchmark of pods that end says of its figures."""

import copy

import pytest

from benchmarks import endings

LOAD = {"failed": 0, "sent": 12_345, "p99_ms": 41.6}
WAYS = {
    "rollout": {
        "endings": 6,
        "pods": 12,
        "exits": {"0": 12},
        "loads": {"http": LOAD, "grpc": {**LOAD, "p99_ms": None}},
    }
}
DEATH = {
    "loads": {
        "http": {"failed": 321, "sent": 9_000, "unserved_s": 31.4},
        "grpc": {"failed": 9, "sent": 9_000, "unserved_s": None},
    }
}
REPORT = {
    "date": "2026-11-29",
    "machine": {"cores": 2, "cpu": "a processor"},
    "ways": WAYS,
    "deaths": [DEATH],
}


def test_the_table_has_a_row_for_each_way():
    text = endings.section(REPORT)
    assert "| rollout | 6 | 12 | 12 | 0 of 12,345 | 42 | 0 of 12,345 | - |" in text


def test_of_a_node_that_died_it_tells_what_was_lost_and_for_how_long():
    row = "| node gone | 321 of 9,000 | 31 s | 9 of 9,000 | never |"
    assert row in endings.section(REPORT)


@pytest.mark.parametrize(
    ("answers", "after_s"),
    [
        pytest.param([110] * 30, 4.0, id="nothing was lost"),
        pytest.param([110] * 4 + [0] * 20 + [54, 55, 110], 25.0, id="half of the rate is served"),
        pytest.param([110] * 4 + [3] * 20, None, id="a few answers are no service"),
    ],
)
def test_served_again_is_when_answers_come_as_a_matter_of_course(answers, after_s):
    seconds = [{"time": 1000.0 + at, "ok": ok} for at, ok in enumerate(answers)]
    assert endings.unserved_s(seconds, 1000.0) == after_s


@pytest.mark.parametrize(
    ("change", "good"),
    [
        pytest.param(lambda _: None, True, id="nothing lost, all exits clean"),
        pytest.param(
            lambda way: way["loads"]["grpc"].update(failed=1), False, id="one request is lost"
        ),
        pytest.param(lambda way: way["exits"].update({"1": 1}), False, id="one exit is hard"),
        pytest.param(
            lambda way: way["exits"].update(unseen=1),
            False,
            id="an exit that nobody saw proves nothing",
        ),
    ],
)
def test_what_is_good(change, good):
    ways = copy.deepcopy(WAYS)
    change(ways["rollout"])
    assert endings.is_good(ways) is good
