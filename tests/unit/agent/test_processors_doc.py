import re
from pathlib import Path

import pytest

from ferryman.agent.processors import Discovery, Host, Inventory

GUIDE = Path(__file__).parents[3] / "docs/processors.md"


@pytest.fixture
def acme(tmp_path):
    """Return the plug-in of the guide's worked example, on a node with two devices' files."""
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    namespace = {}
    exec(compile(source, GUIDE, "exec"), namespace)  # noqa: S102  the guide's own example
    for number, busy in enumerate((20, 60)):
        folder = tmp_path / f"class/acme/npu{number}"
        folder.mkdir(parents=True)
        (folder / "product").write_text("Acme One\n")
        (folder / "memory_mib").write_text("16384\n")
        (folder / "busy_percent").write_text(f"{busy}\n")
    return namespace["AcmeProcessors"], Host(8_000, 2**35, sys=tmp_path)


def test_the_worked_example_works(acme):
    factory, host = acme
    inventory = Inventory.build({"npu": factory}, host)
    found = inventory.discover()
    (npu,) = found.processors
    assert (npu.processor_class, npu.product, npu.count) == ("npu", "Acme One", 2)
    assert npu.memory_bytes == 2**35
    assert found.devices == ("npu Acme One 16384",) * 2
    sample, notes = inventory.sample(1.0)
    assert (sample["npu"].processor, sample["npu"].memory) == (0.4, None)
    assert notes == ("memory utilisation of npu is unknown: plug-in npu does not tell it",)


def test_the_worked_example_is_silent_without_its_hardware(acme, tmp_path):
    factory, _ = acme
    plugin = factory(Host(8_000, 2**35, sys=tmp_path / "empty"))
    assert (plugin.discover(), plugin.sample(1.0)) == (Discovery(), {})
