import pytest

from ferryman.core.importing.kserve import documents
from ferryman.core.importing.outcome import NotImportableError
from tests.unit.core.importing.sources import asked, left, service


def test_every_object_of_a_file_is_told_of():
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    old = {**service(name="old"), "apiVersion": "serving.kubeflow.org/v1alpha2"}
    odd = {"kind": "InferenceService", "apiVersion": {}}
    found = documents.imported(
        [service(), secret, "text", old, odd, {"kind": "ServingRuntime"}], asked()
    )

    assert [each.name for each in found] == [
        "detector",
        "Secret s",
        "a document that is no object",
        "InferenceService old of serving.kubeflow.org/v1alpha2",
        "InferenceService without a name of {}",
        "ServingRuntime without a name",
    ]
    assert [each.manifest is not None for each in found] == [
        True,
        False,
        False,
        False,
        False,
        False,
    ]
    assert "model-source-" in left(found[1])["the object"]
    assert left(found[2])["the object"] == "it is no InferenceService"
    assert found[3].refusal == (
        "serving.kserve.io/v1beta1 is read: print it so, by "
        "kubectl get inferenceservices.v1beta1.serving.kserve.io"
    )


def test_a_service_that_does_not_say_its_version_is_said_to_have_none():
    found = documents.imported([service(), {"kind": "InferenceService"}], asked())

    assert found[1].name == "InferenceService without a name of no version"
    assert "v1beta1 is read" in found[1].refusal


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], "but nothing"),
        ([{"kind": "Pod", "metadata": {"name": "p"}}], "but Pod p"),
        ([5, []], "but a document that is no object"),
    ],
)
def test_a_file_without_a_service_is_refused(found, words):
    with pytest.raises(NotImportableError, match=words):
        documents.imported(found, asked())


def test_one_model_cannot_be_meant_of_several_services():
    with pytest.raises(NotImportableError, match="there are 2: import that alone"):
        documents.imported([service(), service(name="b")], asked(model="m"))


def test_objects_that_would_have_one_name_are_told_apart():
    there = service(metadata={"namespace": "other"})
    found = documents.imported([service(), service(), there, service(name="Detector")], asked())

    assert [each.refusal[:14] for each in found] == ["", "another object", "", "another object"]
