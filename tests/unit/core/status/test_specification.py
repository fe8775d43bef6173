"""What a specification is, whatever number of replicas it asks for."""

import pytest

from ferryman.api.scaling import ScalingSpec
from ferryman.core.status.specification import digest
from tests.factories import model, objectives, pipeline


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"replicas": 7}, id="as an autoscaler writes it"),
        pytest.param({"scaling": ScalingSpec(max_replicas=4)}, id="as Ferryman may choose it"),
    ],
)
def test_the_number_is_no_part_of_it(changed):
    assert digest(model(**changed).spec) == digest(model().spec)


def test_all_else_is():
    assert digest(model(objectives=objectives(70)).spec) != digest(model().spec)
    assert digest(pipeline(replicas=3).spec) == digest(pipeline().spec)
    assert digest(pipeline(objectives=objectives(70)).spec) != digest(pipeline().spec)
