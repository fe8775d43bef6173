"""The model repository where no code is allowed: what is laid out, and what is refused."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from ferryman.api import names
from tests import factories
from tests.unit.core.test_render import pod_spec

PLACES = (names.PATH_REPOSITORY, names.PATH_CONFIG, names.PATH_MODEL)


def layout(**fields):
    return pod_spec(**fields)["initContainers"][0]["command"]


class Volume:
    """A model volume and the repository that is laid out from it, below a folder."""

    def __init__(self, folder):
        self.model, self.repository = folder / "model", folder / "models"
        for part in (self.model, self.repository, folder / "config"):
            part.mkdir()
        (folder / "config" / "config.pbtxt").write_text("config")
        shell, option, script = layout()
        for place in PLACES:
            script = re.sub(rf"(?<![\w$*]){place}(?!\w)", str(folder / place[1:]), script)
        self.command = [shell, option, script]

    def add(self, *files):
        """Put files into the volume."""
        for file in files:
            path = self.model / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file)

    def lay_out(self):
        """Run the script; return its words, "" where all is well."""
        environment = {"PATH": os.environ["PATH"], "FERRYMAN_MODEL": "m"}
        ran = subprocess.run(
            self.command, env=environment, capture_output=True, text=True, check=False, timeout=20
        )
        assert (ran.returncode == 0) is (ran.stderr == ""), ran.stderr
        return ran.stderr

    def laid(self):
        """Return the files of the repository, links followed."""
        top = self.repository / "m"
        walked = os.walk(top, followlinks=True)
        return {str((Path(at) / f).relative_to(top)) for at, _, files in walked for f in files}


@pytest.fixture
def volume(tmp_path):
    return Volume(tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(["1/libtriton_onnxruntime.so"], id="a backend of one's own"),
        pytest.param(["libtriton_onnxruntime.so", "1/model.onnx"], id="beside the versions"),
        pytest.param(["1/ops.so.1.2"], id="a library with a version"),
        pytest.param(["1/model.py"], id="a script"),
        pytest.param(["model.py"], id="a script at the top"),
        pytest.param(["1/data/deep/x.pyc"], id="in a folder's folder"),
    ],
)
def test_a_program_is_refused_by_its_name(volume, files):
    volume.add("1/model.onnx", *files)
    said = volume.lay_out()
    assert said.startswith("the model volume has a program, m/")
    assert said.endswith("or use a runtime whose class has allowCode true\n")


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(["model.onnx"], id="a file"),
        pytest.param(["1/model.onnx", "12/model.onnx", "labels.txt"], id="versions"),
        pytest.param(["1/model.onnx/graph", "1/model.onnx/a b/weights"], id="a model of folders"),
    ],
)
def test_data_is_laid_out_as_it_is_elsewhere(volume, files):
    volume.add(*files)
    assert volume.lay_out() == ""
    folder = "" if files[0].startswith("1/") else "1/"
    assert volume.laid() == {"config.pbtxt", *(f"{folder}{file}" for file in files)}


def test_what_comes_later_is_not_in_the_repository(volume):
    volume.add("1/model.onnx")
    assert volume.lay_out() == ""
    volume.add("1/libtriton_onnxruntime.so", "2/model.py")
    assert volume.laid() == {"config.pbtxt", "1/model.onnx"}


def test_a_link_to_a_program_is_one_and_one_to_nowhere_is_left_out(volume):
    volume.add("1/model.onnx")
    (volume.model / "1" / "later").symlink_to("hidden")
    assert volume.lay_out() == ""
    assert not (volume.repository / "m" / "1" / "later").is_symlink()
    (volume.model / "1" / "x.so").symlink_to("model.onnx")
    assert "m/1/x.so" in volume.lay_out()


def test_folders_without_end_are_refused(volume):
    volume.add("1/model.onnx")
    (volume.model / "1" / "loop").symlink_to(".")
    assert "more than 8" in volume.lay_out()


def test_where_code_is_allowed_nothing_is_looked_for():
    python = factories.runtime_processor(backends={"onnx": "onnxruntime", "python": "python"})
    assert "has a program" in layout()[2]
    assert "has a program" not in layout(entry=python)[2]
