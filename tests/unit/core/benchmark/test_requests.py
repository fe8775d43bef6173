import pytest

from ferryman.api import names
from ferryman.core.benchmark.requests import (
    is_open,
    outstanding,
    requested_at,
    subjects,
    tables_of,
)
from ferryman.core.timestamps import parse
from tests.factories import NOW, at, benchmark, processor, profile, runtime, runtime_processor

CPU, GPU = ("cpu-small", "cpu", "triton"), ("cpu-small", "gpu", "triton")


def asked(text):
    return profile(annotations={names.ANNOTATION_BENCHMARK_REQUESTED: text})


def test_a_request_is_the_time_in_the_annotation():
    assert requested_at(asked(at(-5))) == parse(at(-5))


@pytest.mark.parametrize("silent", [profile(), asked("now"), asked("")], ids=["none", "word", "no"])
def test_what_is_no_time_asks_for_nothing(silent):
    assert requested_at(silent) is None
    assert not is_open(silent, parse(at(-999)), NOW)


@pytest.mark.parametrize(
    ("requested", "measured", "open_"),
    [
        pytest.param(-5, -10, True, id="after the last measurement"),
        pytest.param(-5, -5, False, id="answered"),
        pytest.param(0, -5, True, id="at this moment"),
        pytest.param(5, -5, False, id="for later"),
    ],
)
def test_a_request_is_open_until_a_measurement_ends_after_it(requested, measured, open_):
    assert is_open(asked(at(requested)), parse(at(measured)), NOW) is open_


def test_what_a_node_has_is_measured_under_every_runtime_that_measures_it():
    other = runtime("other", [runtime_processor("cpu")])
    silent = runtime("silent", measured=False)
    seen = profile(processors=[processor("cpu"), processor("npu")])
    found = subjects([other, silent, runtime()], seen)
    assert found == (("cpu-small", "cpu", "other"), CPU)


def test_a_table_answers_a_request_when_it_is_not_older():
    tables = [
        benchmark(measured_at=at(-5)),
        benchmark(processor="gpu", measured_at=at(-6)),
        benchmark(runtime="other", measured_at=at(-1)),
    ]
    measured = profile(benchmarks=tables)
    assert outstanding(measured, (CPU, GPU), parse(at(-5))) == (GPU,)
    assert tables_of(measured, (CPU,)) == (tables[0],)
