import pytest

from benchmarks import twin_cases, twin_report, twin_validation
from benchmarks.twin_validation import Run, compare
from ferryman.clients.load.generator import LoadResult
from ferryman.clients.load.report import Outcome, Record, Summary
from ferryman.core.observation.counters import Totals

QUEUE_OF_12 = next(case for case in twin_cases.REJECTING if case.batching.max_queue_size == 12)


def run(case):
    """Return a run of one request a second: all alone in their batches, the last one rejected."""
    due = [float(number) for number in range(6)]
    answered = [Record(due_s, due_s + 0.046, Outcome.OK) for due_s in due[:-2]]
    words = '503 {"error":"Request timeout expired"}'
    rejected = Record(due[-2], due[-2] + 0.1, Outcome.REFUSED, words)
    failed = Record(due[-1], due[-1] + 5, Outcome.DEADLINE, "no answer in 5.0 s")
    records = (*answered, rejected, failed)
    totals = Totals(requests=4, inferences=4, executions=4, batches={1: (4, 4 * 44_000_000)})
    return compare(case, Run(LoadResult(records, Summary.of(records, 6.0)), totals), 2.0)


def test_a_run_is_compared_with_the_twin_on_the_same_arrivals():
    found = run(twin_cases.PLAIN[0])
    assert found["triton"] == {"p50_ms": 46, "p99_ms": 46, "mean_batch": 1, "rejected": 0.2}
    assert found["twin"] == {"p50_ms": 46, "p99_ms": 46, "mean_batch": 1, "rejected": 0}
    assert found["error"] == {"p50_ms": 0, "p99_ms": 0, "mean_batch": 0}
    assert (found["sent"], found["failed"]) == (6, 1), "a rejected request has not failed"


def test_cases_say_what_is_configured():
    assert str(twin_cases.PLAIN[1]) == "quick, bound 1, delay 5 ms, 1 instance(s), load 0.85"
    assert str(QUEUE_OF_12) == "slow, bound 8, delay 0 ms, queue 12, 1 instance(s), load 1.35"
    assert str(twin_cases.PREFERRED[1]).startswith("slow, bound 16, preferred 4 and 8, delay 20 ms")


def test_all_cases_differ_and_stay_within_what_the_generator_sends():
    assert len({str(case) for case in twin_cases.CASES}) == len(twin_cases.CASES) >= 36
    assert max(case.rate_per_s for case in twin_cases.CASES) <= 250


@pytest.mark.parametrize(
    ("case", "row"),
    [
        pytest.param(
            twin_cases.PLAIN[0], "| 0 ms | 1 | 0.0% | +0.0% | 0.0% | +0.0% |", id="by its delay"
        ),
        pytest.param(
            twin_cases.PREFERRED[0], "| preferred sizes | 1 | 0.0% | +0.0% |", id="preferred sizes"
        ),
        pytest.param(
            QUEUE_OF_12,
            f"| {QUEUE_OF_12} | 20.0% | 0.0% | 46.0 | 46.0 | 46.0 | 46.0 |",
            id="with what was rejected",
        ),
    ],
)
def test_the_section_shows_each_case_where_it_belongs(case, row):
    report = {
        "date": "2026-11-21",
        "machine": {"cores": 2, "cpu": "a CPU"},
        "warm_up_s": twin_validation.WARM_UP_S,
        "measured_s": 5.5,
        "overhead_ms": 2.0,
        "cases": [run(case)],
    }
    shown = twin_report.section(report)
    assert row in shown
    assert "5.5 s each after\n1 s of warm-up" in shown
    assert "Requests sent: 6; failed, apart from those rejected: 1." in shown
