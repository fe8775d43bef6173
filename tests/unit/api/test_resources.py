import pytest

from ferryman.api import names, resources
from ferryman.api.resources import model_key, pipeline_key
from hack.generate.crds import KINDS


def test_every_kind_is_called_as_its_type():
    assert [kind.__name__ for kind in KINDS] == [resource.kind for resource in resources.ALL]


def test_a_key_tells_apart_objects_of_two_kinds_with_one_name():
    model, other = model_key("team", "vision"), pipeline_key("team", "vision")
    assert len({model, other}) == 2
    assert model.qualified_name == other.qualified_name == "team/vision"
    assert model.in_log() == {"model": "team/vision"}
    assert other.in_log() == {"pipeline": "team/vision"}


@pytest.mark.parametrize(
    ("labels", "owner"),
    [
        pytest.param({names.LABEL_MODEL: "m"}, model_key("team", "m"), id="a model's label"),
        pytest.param({names.LABEL_PIPELINE: "p"}, pipeline_key("team", "p"), id="a pipeline's"),
        pytest.param({names.LABEL_MODEL: ""}, None, id="an empty label"),
        pytest.param({"": "m", "app": "m"}, None, id="labels of somebody else"),
    ],
)
def test_whom_an_object_serves_is_told_by_its_label(labels, owner):
    assert resources.owner_key("team", labels) == owner


def test_what_goes_with_an_object_names_it_as_its_controller():
    assert resources.owner_reference(model_key("team", "m"), "uid-m") == {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceModel",
        "name": "m",
        "uid": "uid-m",
        "controller": True,
        "blockOwnerDeletion": True,
    }
