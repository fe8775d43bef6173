"""The worked example is installed as a package would be, and found by its entry point."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ferryman.agent.processors import Host, Inventory

EXAMPLE = Path(__file__).parents[3] / "examples/onnxruntime-npu"
MODULE = "ferryman_onnxruntime_npu"
BUILD = "import setuptools.build_meta as b; b.prepare_metadata_for_build_wheel('.')"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return a folder with the module and the metadata that its build makes, as site-packages."""
    folder = tmp_path_factory.mktemp("site") / "packages"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    subprocess.run([sys.executable, "-c", BUILD], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def inventory(installed, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(installed)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    # The probe runs in a Python that has no ONNX Runtime.
    (tmp_path / "class/accel/accel0/device").mkdir(parents=True)
    yield lambda: Inventory.load(Host(2_000, 2**32, sys=tmp_path))
    sys.modules.pop(MODULE, None)


def test_the_agent_finds_the_installed_package_by_its_entry_point(inventory, installed):
    loaded = inventory()
    assert Path(sys.modules[MODULE].__file__).parent == installed
    assert {"cpu", "gpu", "npu"} <= set(loaded._plugins)


def test_an_npu_that_a_provider_sees_becomes_a_processor_of_the_node(inventory):
    loaded = inventory()
    module = sys.modules[MODULE]
    loaded._plugins["npu"]._ask = lambda: [module.Npu("QNNExecutionProvider", "Acme", 7)]
    found = loaded.discover()
    assert [each.processor_class for each in found.processors] == ["cpu", "npu"]
    assert found.devices == ("npu Acme NPU 0x0007 (QNN) 4096",)


def test_without_onnx_runtime_a_note_says_what_could_not_be_seen(inventory, monkeypatch):
    loaded = inventory()
    monkeypatch.setattr(sys.modules[MODULE], "PROBE", "import onnxruntime_is_missing")
    (note,) = [each for each in loaded.discover().notes if "accelerator" in each]
    assert note == (
        "accelerator accel0 is there but not seen: ONNX Runtime cannot be asked: "
        "ModuleNotFoundError: No module named 'onnxruntime_is_missing'"
    )


def test_the_package_is_found_only_where_it_is_installed():
    assert "npu" not in Inventory.load(Host(2_000, 2**32))._plugins
