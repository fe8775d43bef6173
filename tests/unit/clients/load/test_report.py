"""The figures of a load test, checked against numpy, and its account."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.clients.load.report import Figures, Outcome, Record, Summary, nearest_rank, write


def answered(latency_ms, due_s=0.0, **more):
    return Record(due_s, due_s + latency_ms / 1e3, Outcome.OK, **more)


def failed(outcome=Outcome.DEADLINE, due_s=0.0, detail="late"):
    return Record(due_s, due_s + 5.0, outcome, detail)


@given(
    st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200),
    st.sampled_from([0, 1, 50, 90, 99, 100]),
)
def test_percentiles_agree_with_numpy(values, percentile):
    expected = np.percentile(values, percentile, method="inverted_cdf")
    assert nearest_rank(sorted(values), percentile) == expected


@given(st.lists(st.floats(0.001, 1e5), min_size=1, max_size=100))
def test_figures_agree_with_numpy(latencies_ms):
    figures = Figures.of(answered(latency) for latency in latencies_ms)
    measured = np.array(latencies_ms)
    assert figures.mean_ms == pytest.approx(measured.mean(), abs=1e-3)
    p99 = np.percentile(measured, 99, method="inverted_cdf")
    assert figures.p99_ms == pytest.approx(p99, abs=1e-3)
    assert figures.max_ms == pytest.approx(measured.max(), abs=1e-3)


def test_a_failed_request_is_slower_than_any_answer():
    figures = Figures.of([*(answered(10.0) for _ in range(9)), failed()])
    assert (figures.ok, figures.failed) == (9, 1)
    assert (figures.p50_ms, figures.p90_ms) == (10.0, 10.0)
    assert (figures.p99_ms, figures.max_ms) == (None, None)
    assert figures.mean_ms == 10.0


def test_nothing_measured_is_none_and_not_zero():
    figures = Figures.of([])
    assert (figures.mean_ms, figures.p50_ms, figures.max_ms, figures.accuracy) == (None,) * 4


def test_accuracy_is_the_share_of_correct_rows():
    figures = Figures.of([answered(1, rows=4, correct=3), answered(1, rows=4, correct=4)])
    assert figures.accuracy == 0.875


def test_the_summary_accounts_for_every_request():
    records = [answered(10, 0.0), failed(), failed(Outcome.NOT_SENT, detail="full"), failed()]
    summary = Summary.of(records, offered_s=4.0)
    assert summary.sent == summary.figures.ok + summary.figures.failed == 4
    assert summary.failures == {"deadline": 2, "not sent": 1}
    assert summary.examples == {"deadline": "late", "not sent": "full"}
    assert summary.answers_per_s == 0.2  # one answer; the last request ended after 5 s


def test_every_request_is_written_in_the_order_of_sending(tmp_path):
    records = [failed(due_s=2.0), answered(10.0, 1.0, rows=1, correct=1)]
    write(tmp_path / "out.csv", records)
    write(tmp_path / "out.jsonl", records)
    with (tmp_path / "out.csv").open() as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["due_s"] for row in table] == ["1.0", "2.0"]
    assert [(line["outcome"], line["latency_ms"]) for line in lines] == [
        ("ok", 10.0),
        ("deadline", None),
    ]
