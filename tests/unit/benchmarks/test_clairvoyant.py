from itertools import pairwise

import pytest

from benchmarks import traces
from benchmarks.clairvoyant import report, run, schedule
from ferryman.api.batching import Batching
from ferryman.cli.files import scenario_file
from ferryman.core.simulator import loads, oracle
from ferryman.core.simulator.figures import measure
from ferryman.core.simulator.scenario import Scenario

STEPS = [{"seconds": 20, "ratePerSecond": 20}, {"seconds": 20, "ratePerSecond": 150}]


def scenario(**fields):
    values = {
        "serviceTime": {"coefficients": {"t0": 20, "a": 4}},
        "arrivals": {"steps": STEPS},
        "objectives": {"latency": {"percentile": 99, "targetMilliseconds": 400}},
        "batching": {"limits": {"maxBatchSize": {"max": 32}}},
        "windows": 8,
        "windowSeconds": 5,
    }
    return Scenario.model_validate({**values, **fields}, extra="forbid")


def test_a_phase_lasts_until_the_load_changes():
    assert schedule.phases_s(scenario()) == (0, 20, 40)
    recorded = scenario(arrivals={"trace": {"file": traces.AZURE}}, windows=140)
    assert schedule.phases_s(recorded) == (0, 300, 600, 700)


def test_phases_have_the_configuration_that_is_best_for_each():
    given = scenario()
    arrivals_s = loads.draw(given)
    calm, busy = schedule.find(given, arrivals_s)
    assert (calm.begin_s, busy.begin_s) == (0, 20)
    assert calm.batching.max_queue_delay_microseconds > 0
    figures = measure(given, schedule.serve(given, arrivals_s, (calm, busy)))
    assert figures.attainment > 0.99


def test_phases_that_are_all_alike_serve_as_one():
    given, batching = scenario(), Batching(max_batch_size=8)
    arrivals_s = loads.draw(given)
    phases = [schedule.Phase(begin_s, batching) for begin_s, _ in pairwise((0.0, 20.0, 40.0))]
    figures = measure(given, schedule.serve(given, arrivals_s, phases))
    kept = oracle.serve(given, arrivals_s, batching).figures
    assert figures.attainment == pytest.approx(kept.attainment, abs=0.002)
    assert figures.device_busy_s == pytest.approx(kept.device_busy_s, rel=0.01)


def test_every_scenario_can_be_read_and_has_phases():
    paths = sorted(run.SCENARIOS.glob("*.yaml"))
    assert len(paths) == 4
    for path in paths:
        given, _ = scenario_file.read(path)
        assert len(schedule.phases_s(given)) > 2


def test_the_table_says_what_is_held():
    found = {
        name: {"attainment": 1.0, "busy": busy}
        for name, busy in zip(report.NAMES, (100.0, 70.0, 150.0, 80.0), strict=True)
    }
    [line] = report.lines({"step": found})
    assert line.startswith("| step | 1.0000 | 1.0000 | 1.0000 | 1.0000 | 0.700 | 1.500 | 0.800 |")
    assert line.endswith(
        "| 1.143 | attainment, device time by the clairvoyant's, by the static one's |"
    )
    found["guarded"] = {"attainment": 0.9, "busy": 90.0}
    [line] = report.lines({"step": found})
    assert line.endswith("| nothing |")
