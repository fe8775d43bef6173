import pytest

from ferryman.api.crd import Rule
from ferryman.core.importing import manifest, patterns
from ferryman.core.importing.outcome import NotImportableError
from tests.unit.core.importing.sources import asked


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("densenet_onnx", "densenet-onnx"),
        ("A.B", "a-b"),
        ("7b", "model-7b"),
        ("x" * 60, "x" * 50),
        (f"{'x' * 49}-y", "x" * 49),
    ],
)
def test_names_of_objects(text, name):
    assert patterns.object_name(text) == name


@pytest.mark.parametrize("text", ["", "_", "日本"])
def test_what_has_no_letter_is_no_name(text):
    with pytest.raises(NotImportableError, match="rename it"):
        patterns.object_name(text)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("pvc://Claim", "pvc:// must be followed"),
        ("pvc://claim\n", "pvc:// must be followed"),
        ("oci://a/b/../c", "oci:// must be followed"),
        ("s3://bucket/../x", "must not contain"),
        ("file:///x", "must begin with"),
        (f"s3://bucket/{'x' * 1024}", "longer than any"),
    ],
)
def test_what_the_api_refuses_is_refused_in_its_words(uri, words):
    with pytest.raises(NotImportableError, match=words):
        patterns.storage_uri(uri)


def test_folders_below_a_prefix():
    assert patterns.folder_uri("pvc://c/", "m") == "pvc://c/m"
    assert patterns.folder_uri("hf://org/repo@main", "m") == "hf://org/repo@main/m"
    with pytest.raises(NotImportableError, match="names one file"):
        patterns.folder_uri("https://host", "m")
    with pytest.raises(NotImportableError, match=r"pvc://c/a b: pvc://"):
        patterns.folder_uri("pvc://c", "a b")


def test_a_rule_that_is_no_pattern_is_a_fault_of_ours():
    with pytest.raises(AssertionError, match="no pattern"):
        patterns.broken("x", [Rule("self.size() > 1", "long")])


def test_what_is_larger_than_is_stored_is_refused_with_its_place():
    manifest.expect_stored({"a": [1, "b", None]}, "config")
    with pytest.raises(NotImportableError, match=r"config\.a\[0\] has 5,?_?000"):
        manifest.expect_stored({"a": ["x" * 5000]}, "config")
    with pytest.raises(NotImportableError, match=r"config\.a has 300 entries"):
        manifest.expect_stored({"a": [0] * 300}, "config")
    with pytest.raises(NotImportableError, match="config has 129 entries"):
        manifest.expect_stored({str(n): 0 for n in range(129)}, "config")


def test_what_the_types_of_the_api_do_not_take_is_never_printed():
    with pytest.raises(NotImportableError, match=r"spec\.replicas would be beyond"):
        manifest.model(
            {"name": "m"},
            asked(),
            {
                "model": {"storageUri": "pvc://claim", "modelFormat": {"name": "onnx"}},
                "replicas": 5000,
            },
        )
