"""A native library in a model's volume, on a real Triton: it runs, unless no code is allowed."""

import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.integration.tritonserver import TritonServer
from tests.unit.core.render.test_no_code import Volume

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

CONFIG = 'name: "m"\nbackend: "onnxruntime"\nmax_batch_size: 8\n'
LIBRARY = "libtriton_onnxruntime.so"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Return a library that leaves a mark when it is loaded, and where it leaves it."""
    folder = tmp_path_factory.mktemp("library")
    mark = folder / "mark"
    source = folder / "library.c"
    source.write_text(
        "#include <fcntl.h>\n"
        "__attribute__((constructor)) static void loaded(void)\n"
        f'{{ open("{mark}", O_CREAT | O_WRONLY, 0600); }}\n'
    )
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "install gcc (Debian: gcc libc6-dev)"
    built = folder / LIBRARY
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, source], check=True, timeout=60)
    return built, mark


@pytest.fixture
def volume(tmp_path):
    volume = Volume(tmp_path)
    (tmp_path / "config" / "config.pbtxt").write_text(CONFIG)
    volume.add("1/model.onnx")
    return volume


def is_loaded(repository, mark):
    """Have a real Triton load the model, and tell whether the library ran."""
    mark.unlink(missing_ok=True)
    with TritonServer(repository) as server:
        url = f"http://{server.http_url}/v2/repository/models/m/load"
        with pytest.raises(urllib.error.HTTPError):  # the model is no model
            urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=60)
    return mark.exists()


def test_a_library_in_the_volume_is_refused(volume, library):
    shutil.copy(library[0], volume.model / "1" / LIBRARY)
    assert f"the model volume has a program, m/1/{LIBRARY}" in volume.lay_out()


def test_a_library_that_comes_after_the_layout_is_not_loaded(volume, library):
    built, mark = library
    assert volume.lay_out() == ""
    shutil.copy(built, volume.model / "1" / LIBRARY)
    assert not is_loaded(volume.repository, mark)


def test_where_code_is_allowed_it_runs(volume, library):
    """What the other tests keep from happening does happen without what they test."""
    built, mark = library
    volume.command = [*volume.command[:2], volume.command[2].partition("\nseal()")[0]]
    assert volume.lay_out() == ""
    shutil.copy(built, volume.model / "1" / LIBRARY)
    assert is_loaded(volume.repository, mark)
