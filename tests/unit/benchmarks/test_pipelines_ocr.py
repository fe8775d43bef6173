"""What the benchmark of the OCR pipeline says of its figures."""

import subprocess
import sys

import pytest

from benchmarks.pipelines import balanced, ocr, processors, report, run

FOUND = {
    "cores": 2,
    "workers": {"detect": 1, "recognise": 2},
    "best": {"detect": 1, "recognise": 3},
    "duels": [
        {"ours_per_s": 5.0, "best_per_s": 5.0},
        {"ours_per_s": 4.8, "best_per_s": 5.0},
        {"ours_per_s": 4.0, "best_per_s": 5.0},
    ],
    "ceiling_per_s": 6.25,
    "blind": {
        "changes": [
            {"window": 1, "reason": "LimitingStep"},
            {"window": 2, "reason": "TakenBack"},
            {"window": 4, "reason": "LimitingStep"},
        ]
    },
    "pages": 200,
    "character_accuracy": 0.98,
    "all_requests": 1200,
    "all_failed": 0,
    "reloads": 0,
}


def test_the_share_is_that_of_the_median_turn():
    assert balanced.share(FOUND["duels"]) == pytest.approx(0.96)


def test_what_did_not_help_was_withdrawn_after_so_many_windows():
    assert ocr.withdrawn_after(FOUND) == [1]


def test_the_section_says_all_of_it():
    section = report.section(
        {"date": "2026-11-30", "machine": {"cores": 2, "cpu": "x"}, "rounds": [{"ocr": FOUND}]}
    )
    for words in ("0.96", "0.80", "recognise=2", "recognise=3", "0.98", "1,200 pages, 0 failed"):
        assert words in section
    assert run.is_good([{"ocr": FOUND}])


@pytest.mark.parametrize("lost", ["all_failed", "reloads"])
def test_the_benchmark_fails_where_a_page_is_lost_or_a_step_reloaded(lost):
    assert not run.is_good([{"ocr": {**FOUND, lost: 1}}])


def test_processor_time_is_that_of_a_session():
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    with subprocess.Popen(
        [sys.executable, "-c", f"{burn}print(1, flush=True)\ntime.sleep(60)"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        process.stdout.readline()
        used_s = processors.used_s(process.pid)
        process.kill()
    assert 0.3 <= used_s < 5
    assert processors.used_s(process.pid) == 0
