"""The scaling benchmark: an HPA as Kubernetes documents it, what is run, and its table."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling import cases, report, run
from benchmarks.scaling.hpa import SYNC_S, Autoscaler

HOLDS = 300 // SYNC_S


@given(st.lists(st.integers(1, 14), min_size=1, max_size=60))
def test_an_autoscaler_goes_up_at_once_and_down_to_the_largest_of_five_minutes(said):
    """Held against the largest wish of the last 20 looks, differences of a tenth left out."""
    hpa, wishes, replicas = Autoscaler(3, most=12), [], 3
    for index, metric in enumerate(said):
        hpa.sync(float(metric), float(index * SYNC_S))
        wishes.append(replicas if abs(metric - replicas) <= replicas / 10 else metric)
        wanted = wishes[-1]
        if wanted < replicas:
            wanted = min(max(wishes[-HOLDS:]), replicas)
        replicas = max(1, min(wanted, 12))
        assert hpa.replicas == replicas


def test_every_load_can_be_drawn_for_every_model():
    for load in cases.LOADS:
        for model in cases.MODELS:
            scenario = cases.scenario(model, load, 0)
            assert scenario.scaling is not None
            assert scenario.duration_s == load.seconds


def test_what_one_pod_serves_is_between_a_batch_of_one_and_the_largest():
    """A request of the model that is served one by one takes 200 ms."""
    assert 3 < cases.capacity_per_s("one by one") < 5
    assert cases.capacity_per_s("tight") < cases.capacity_per_s("affine")


def test_the_figures_of_a_short_run_make_a_row():
    load = cases.Load("short", 120, lambda _: [(120, 1.5)])
    found = [run.figures("one by one", load, 0, name) for name in run.CONTENDERS]
    assert {each["contender"] for each in found} == {"Ferryman", "HPA"}
    assert all(each["windows"] == 4 and each["ups"] >= 1 for each in found)
    text = report.section(
        {"date": "2026-12-01", "machine": {"cores": 1, "cpu": "any"}, "runs": found}
    )
    assert "| short | 1 | HPA | 1 | 0 | 0 |" in text
