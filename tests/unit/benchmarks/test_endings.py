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
MACHINE = {"cores": 2, "cpu": "a processor"}


def test_the_table_has_a_row_for_each_way():
    text = endings.section({"date": "2026-11-29", "machine": MACHINE, "ways": WAYS})
    assert "| rollout | 6 | 12 | 12 | 0 of 12,345 | 42 | 0 of 12,345 | - |" in text


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
