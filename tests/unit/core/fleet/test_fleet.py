import copy
from math import inf
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from ferryman.core.fleet import fleet
from ferryman.core.fleet.fleet import Fleet

EXAMPLE = yaml.safe_load(Path("tests/data/fleet.yaml").read_text(encoding="utf-8"))
GPU, CPU, NPU = ({"class": name} for name in ("gpu", "cpu", "npu"))


def changed(path, value):
    """Return the example with one field replaced; the path as in an error."""
    content = copy.deepcopy(EXAMPLE)
    at = content
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return content


def test_the_example_is_a_fleet():
    found = Fleet.model_validate(EXAMPLE, extra="forbid")
    times = found.models[0].service_times[0]
    assert times.largest == 32
    assert times.curve_ms(4)[0] == 2.1
    assert found.models[1].service_times[0].largest == inf


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        pytest.param(
            ("nodeTypes", 1, "name"),
            "l4",
            "nodeTypes[1].name: l4 is that of nodeTypes[0]",
            id="a type twice",
        ),
        pytest.param(
            ("models", 1, "name"),
            "resnet50",
            "models[1].name: resnet50 is that of models[0]",
            id="a model twice",
        ),
        pytest.param(
            ("nodeTypes", 0, "count"), fleet.MAX_NODES, "nodeTypes: more than", id="many nodes"
        ),
        pytest.param(
            ("nodeTypes", 0, "processors"),
            [GPU, GPU],
            "each class may be there once",
            id="a class twice",
        ),
        pytest.param(
            ("nodeTypes", 0, "processors"),
            [GPU, CPU],
            "models[0].serviceTimes[0].class: state it, l4 has gpu, cpu",
            id="a class that is not stated",
        ),
        pytest.param(
            ("models", 1, "serviceTimes", 1, "nodeType"),
            "t4",
            "models[1].serviceTimes[1].nodeType: there is no node type t4",
            id="a time of an unknown type",
        ),
        pytest.param(
            ("models", 1, "serviceTimes", 1, "nodeType"),
            "l4",
            "models[1].serviceTimes[1]: gpu on l4 is there twice",
            id="a time twice",
        ),
        pytest.param(
            ("models", 3, "present"),
            {"nodeType": "c5", "class": "npu"},
            "models[3].present.class: c5 has no npu, only cpu",
            id="present on an unknown class",
        ),
        pytest.param(
            ("models", 2, "nodeTypes"),
            ["l4", "t4"],
            "models[2].nodeTypes[1]: there is no node type t4",
            id="an unknown type is allowed",
        ),
        pytest.param(("models", 0, "objectives"), {}, "objectives: state", id="no objective"),
        pytest.param(
            ("models", 0, "serviceTimes", 0, "knots"), None, "state exactly one", id="no curve"
        ),
        pytest.param(
            ("models", 0, "serviceTimes", 0, "knots"),
            [{"batchSize": 1, "milliseconds": 2.0}, {"batchSize": 2, "milliseconds": 1e-9}],
            "a batch takes at least 0.000001 ms",
            id="a knot of no time",
        ),
        pytest.param(
            ("models", 1, "serviceTimes", 0, "coefficients"),
            {"t0": 1e-9},
            "a batch takes at least 0.000001 ms",
            id="a formula of no time",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(path, value, told):
    with pytest.raises(ValidationError) as refused:
        Fleet.model_validate(changed(path, value))
    assert told in str(refused.value)
