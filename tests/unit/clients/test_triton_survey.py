"""What a metrics page leaves unsaid: a metric without samples, or counters that are off."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc.service_pb2 import ModelStatisticsResponse

from ferryman.clients.triton_metrics import parse
from ferryman.clients.triton_statistics import to_statistics
from ferryman.clients.triton_survey import tune_steps, unreported

SUCCESS = 'nv_inference_request_success{model="m",version="1"} '
FAILED = """\
nv_inference_request_failure{model="m",version="1",reason="REJECTED"} 0
nv_inference_request_failure{model="m",version="1",reason="OTHER"} 0
"""
PENDING = 'nv_inference_pending_request_count{model="m",version="1"} 0\n'
SUMMARY = 'nv_inference_request_summary_us_count{model="m",version="1"} '
WHOLE = f"{SUCCESS}7\n{FAILED}{PENDING}{SUMMARY}7\n"
HELP = """\
# HELP nv_inference_pending_request_count Instantaneous number of pending requests
# TYPE nv_inference_pending_request_count gauge
# HELP nv_inference_request_summary_us Summary of inference request duration
# TYPE nv_inference_request_summary_us summary
"""
STATISTICS = """
model_stats { inference_stats { success { count: 541 } fail { count: 40 } } }
"""


def test_a_page_that_tells_everything_lacks_nothing():
    assert unreported(WHOLE, "m", ended=7) == ()
    assert unreported(WHOLE, "", ended=0) == ()


@pytest.mark.parametrize(
    ("page", "words"),
    [
        pytest.param(f"{HELP}{SUCCESS}7\n{FAILED}{PENDING}", "no latency summaries", id="summary"),
        pytest.param(f"{HELP}{SUCCESS}7\n{FAILED}{SUMMARY}7\n", "length of the queue", id="queue"),
        pytest.param(f"{SUCCESS}7\n{PENDING}{SUMMARY}7\n", "why requests failed", id="reasons"),
    ],
)
def test_a_metric_that_has_help_but_no_sample_is_missing(page, words):
    (missing,) = unreported(page, "m", ended=7)
    assert words in missing


def test_a_page_without_the_model_tells_nothing_of_it():
    assert len(unreported(WHOLE, "other", ended=0)) == 3


@pytest.mark.parametrize(
    ("summary", "ended"),
    [
        pytest.param("581", 0, id="the summary counts requests that the counters do not"),
        pytest.param("0", 581, id="the statistics count them"),
    ],
)
def test_counters_that_stand_at_0_beside_requests_are_off(summary, ended):
    page = f"{SUCCESS}0\n{FAILED}{PENDING}{SUMMARY}{summary}\n"
    (missing,) = unreported(page, "m", ended)
    assert "counters are switched off" in missing


def test_before_the_first_request_counters_at_0_say_nothing():
    assert unreported(f"{SUCCESS}0\n{FAILED}{PENDING}{SUMMARY}0\n", "m", ended=0) == ()


@pytest.mark.parametrize(
    ("success", "expected"),
    [
        pytest.param("0", (40, None, None), id="off: failures by the statistics, the rest unknown"),
        pytest.param("541", (0, 0, 0), id="on: the page tells why requests failed"),
    ],
)
def test_the_figures_of_counters_that_are_off_are_unknown(success, expected):
    stats = text_format.Parse(STATISTICS, ModelStatisticsResponse()).model_stats
    found = to_statistics(stats, parse(f"{SUCCESS}{success}\n{FAILED}{PENDING}", "m"), 0.0)
    assert (found.failure_count, found.rejected_count, found.pending) == expected


def test_of_an_ensemble_the_steps_to_tune_are_named_and_why_others_cannot_be():
    advice = tune_steps("ocr", {"read": "", "join": "its max_batch_size is 0", "find": ""})
    assert "ocr is an ensemble" in advice
    assert "--model read, --model find" in advice
    assert "join cannot be: its max_batch_size is 0" in advice
    assert "InferencePipeline" in advice


def test_of_an_ensemble_whose_steps_take_no_batches_none_is_advised():
    advice = tune_steps("ocr", {"join": "its max_batch_size is 0"})
    assert "none of these can be tuned: join cannot be" in advice
    assert "--model" not in advice
