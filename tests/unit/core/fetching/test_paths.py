"""Whatever somebody calls a file: it lies in the model's folder, or nowhere."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.fetching.paths import archive_kind, relative_to, safe_path, top_folder


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param("1/model.onnx", "1/model.onnx", id="as it is"),
        pytest.param("././1/model.onnx", "1/model.onnx", id="as tar writes it"),
        pytest.param("1/", "1", id="a folder"),
        pytest.param("./", "", id="the folder itself"),
        pytest.param(".", "", id="likewise"),
        pytest.param("größe/模型", "größe/模型", id="other scripts"),
    ],
)
def test_what_stays_within(name, path):
    assert safe_path(name) == path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("..", "leaves the folder", id="up"),
        pytest.param("a/../../b", "leaves the folder", id="up from below"),
        pytest.param("/etc/passwd", "leaves the folder", id="from the root"),
        pytest.param("a//b", "leaves the folder", id="a folder without a name"),
        pytest.param("a\\..\\b", "characters", id="another system's"),
        pytest.param("a\nb", "characters", id="two lines"),
        pytest.param("a\0", "characters", id="an end of a string"),
        pytest.param("x" * 256, "too long", id="a name too long"),
        pytest.param("/".join(["x"] * 17), "too deep", id="too deep"),
        pytest.param("/".join(["x" * 200] * 6), "too long", id="a path too long"),
    ],
)
def test_what_does_not(name, words):
    with pytest.raises(ValueError, match=words):
        safe_path(name)


@given(st.text(alphabet="a./\\\n\0é", max_size=30))
def test_no_name_leads_out(name):
    try:
        path = safe_path(name)
    except ValueError:
        return
    whole = posixpath.normpath(posixpath.join("/model", path))
    assert whole == "/model" or whole.startswith("/model/")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("m.tar.GZ", "tar"), ("m.tgz", "tar"), ("m.tar", "tar"), ("m.zip", "zip"), ("m.onnx", "")],
)
def test_archives_are_known_by_their_names(name, kind):
    assert archive_kind(name) == kind


@pytest.mark.parametrize(
    ("prefix", "key", "path"),
    [
        ("a/b", "a/b/1/x", "1/x"),
        ("a/b", "a/b", ""),
        ("a/b", "a/bc/x", ""),
        ("", "a/b", "a/b"),
    ],
)
def test_what_lies_below_a_prefix(prefix, key, path):
    assert relative_to(prefix, key) == path


@pytest.mark.parametrize(
    ("entries", "below", "is_top"),
    [
        pytest.param(["resnet50"], ["1"], True, id="the model's folder"),
        pytest.param(["1"], ["2"], False, id="a version's folder"),
        pytest.param(["resnet50", "x"], ["1"], False, id="something beside it"),
        pytest.param(["model.savedmodel"], ["variables"], False, id="no version in it"),
        pytest.param(["resnet50"], ["01", "²"], False, id="no number that Triton takes"),
        pytest.param([], [], False, id="nothing"),
    ],
)
def test_a_folder_around_everything(entries, below, is_top):
    assert top_folder(entries, below) is is_top
