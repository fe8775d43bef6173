"""Which of several tables of one subject counts: one answer, whoever asks and in any order."""

from itertools import permutations

import pytest

from ferryman.core.benchmark import tables
from ferryman.core.placement import candidates
from ferryman.core.placement.departures import unschedulable
from ferryman.core.placement.load_tables import newest
from ferryman.core.placement.nodes.node_types import summarise
from tests.factories import CPU_IMAGE, NOW, at, benchmark, model, node, profile, runtime

FAILED = {"points": (), "error": "no"}
OLD = benchmark(1.0, measured_at=at(-9))


@pytest.mark.parametrize(
    ("one", "other", "wins"),
    [
        pytest.param(OLD, benchmark(2.0, measured_at=at(-1)), "other", id="the newer"),
        pytest.param(OLD, benchmark(measured_at=at(-1), **FAILED), "one", id="rows before none"),
        pytest.param(
            benchmark(measured_at=at(-9), **FAILED),
            benchmark(measured_at=at(-1), **FAILED),
            "other",
            id="of failures the newer",
        ),
        pytest.param(
            OLD, benchmark(2.0, measured_at=at(-9), measured_on="z"), "other", id="a tie, by name"
        ),
        pytest.param(
            OLD,
            benchmark(2.0, measured_at="2026-11-21T11:59:52-01:00"),
            "other",
            id="times are compared, not their texts",
        ),
    ],
)
def test_of_two_tables_counts(one, other, wins):
    expected = {"one": one, "other": other}[wins]
    for found in permutations((one, other)):
        profiles = [profile(f"node-{n}", benchmarks=[table]) for n, table in enumerate(found)]
        views = [node(p.metadata.name, profile=p.status) for p in profiles]
        assert newest(found) == expected
        assert tables.newest(profiles, ("cpu-small", "cpu", "triton"), CPU_IMAGE) == expected
        [kind] = summarise(views)
        assert kind.processors[0].benchmarks == (expected,)
        [candidate] = candidates.find(unschedulable.question(model(), runtime(), NOW), views)
        assert candidate.table == expected
        published = tables.published([runtime()], profiles, [], {})
        assert {p.status.benchmarks for p in published} == {(expected,)}


def test_of_none_there_is_none():
    assert newest([]) is None
