import os

import numpy as np
import pytest

from benchmarks import reloads
from benchmarks.reloads import Footprint, Reload, footprint, trend_of
from ferryman.clients.load.generator import LoadResult
from ferryman.clients.load.report import Outcome, Record, Summary

MIB = 2**20


def test_growth_is_found_in_noise_and_the_warm_up_does_not_count():
    noise = np.random.default_rng(1).normal(0, 500, 300)
    grown = [100_000.0 + 30 * i + e for i, e in enumerate(noise)]
    grown[:20] = [0.0] * 20
    found = trend_of(grown)

    assert found["per_reload"] == pytest.approx(30, rel=0.1)
    assert found["z"] > reloads.SIGNIFICANT_Z
    assert found["last"] - found["first"] == pytest.approx(30 * 180, rel=0.1)


def test_what_does_not_grow_has_no_trend():
    assert trend_of([5.0] * 40) == {"per_reload": 0.0, "z": 0.0, "first": 5.0, "last": 5.0}


def run_with(per_reload, z):
    trend = {"per_reload": per_reload, "z": z, "first": 200.0 * MIB, "last": 220.0 * MIB}
    trends = dict.fromkeys(
        ("rss_bytes", "server_rss_bytes", "took_s", "p50_ms", "p99_ms", "open_files"), trend
    )
    held = {"threads": 9, "open_files": 40, "stubs": 2}
    return {
        "model": "sleeper",
        "trends": trends,
        "stubs": [2] * 10,
        "before": held,
        "after": held,
        "summary": {"sent": 100, "failed": 0},
    }


@pytest.mark.parametrize(
    ("per_reload", "z", "recycled"),
    [
        pytest.param(0.1 * MIB, 9.0, 400, id="a fifth of what is needed is eaten up"),
        pytest.param(0.1 * MIB, 1.5, None, id="growth that may be chance"),
        pytest.param(-0.1 * MIB, -9.0, None, id="shrinking"),
    ],
)
def test_it_is_told_when_growth_takes_the_headroom(per_reload, z, recycled):
    run = run_with(per_reload, z)

    assert reloads.reloads_until_recycled(run) == recycled
    report = {"date": "2026-01-01", "machine": {"cores": 2, "cpu": "x"}, "runs": [run]}
    words = reloads.section(report)
    assert ("after: sleeper 400 reloads" in words) is (recycled is not None)
    assert ("after 4.2 days" in words) is (recycled is not None)
    assert ("pods need no recycling" in words) is (recycled is None)


def test_latency_is_that_of_what_was_due_from_one_reload_to_the_next():
    held = Footprint(100, 50, 2, 9, 40)
    done = [Reload(0.0, 1.0, 2.0, held), Reload(2.0, 1.0, 4.0, held)]
    records = (
        Record(0.5, 0.51, Outcome.OK),
        Record(1.9, 1.95, Outcome.OK),
        Record(2.0, 2.02, Outcome.OK),
        Record(3.9, 9.0, Outcome.DEADLINE),
    )
    result = LoadResult(records, Summary.of(records, 4.0))
    found = reloads.report_of(held, done, result)

    assert found["series"]["p50_ms"] == [50.0, float("inf")]
    assert found["series"]["p99_ms"] == [50.0, float("inf")]
    assert found["series"]["rss_bytes"] == [150, 150]


def test_a_footprint_is_read_of_a_process_and_its_descendants():
    found = footprint(os.getpid())

    assert found.server_rss_bytes > MIB
    assert found.threads >= 1
    assert found.open_files >= 1
    assert found.rss_bytes == found.server_rss_bytes + found.stubs_rss_bytes
