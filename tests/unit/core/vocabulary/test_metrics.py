"""The names of metrics follow Prometheus' conventions."""

import re

import pytest

from ferryman.core.vocabulary.metrics import METRICS

#: Units that are not the base unit, and what the base units are (Prometheus, "Metric and label
#: naming").
FORBIDDEN = ("milliseconds", "microseconds", "minutes", "kilobytes", "percent")


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_a_name_follows_the_conventions(metric):
    own = metric.subject == "process" or metric.name.startswith("ferryman_")
    counts = metric.kind == "counter"

    assert own
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", metric.name)
    assert not [unit for unit in FORBIDDEN if unit in metric.name]
    assert metric.name.endswith("_total") == counts
    assert all(re.fullmatch(r"[a-z_]+", label) for label in metric.labels)
    assert metric.meaning[0].isupper() or metric.meaning[0].isdigit()
    assert not metric.meaning.endswith(".")


def test_a_former_name_stands_for_one_metric_alone():
    former = [metric.former.name for metric in METRICS.values() if metric.former]

    assert len(former) == len(set(former)) > 0
    assert not set(former) & METRICS.keys()
