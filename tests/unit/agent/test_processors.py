# ruff: noqa: D102, ARG002  the doubles are described by the protocols they stand in for
from types import SimpleNamespace

import pytest

from ferryman.agent import processors
from ferryman.agent.processors import Discovery, Host, Inventory, Utilisation
from ferryman.api.node_profile import Processor

HOST = Host(2_000, 2**32)


class Npu:
    """A plug-in whose methods can be made to fail."""

    def __init__(self, kind="npu", fail=()):
        self.kind = kind
        self.fail = fail

    def discover(self):
        self._maybe_fail("discover")
        device = Processor(processor_class=self.kind, product="Acme One")
        return Discovery((device,), (f"{self.kind} Acme One 1024",), ("seen",))

    def sample(self, now_s):
        self._maybe_fail("sample")
        return {self.kind: Utilisation(0.5, notes=("warm",))}

    def _maybe_fail(self, action):
        if action in self.fail:
            raise RuntimeError("driver is gone")


def entries(monkeypatch, **factories):
    def entry_points(group):
        assert group == "ferryman.processors"
        return [
            SimpleNamespace(name=name, load=lambda f=factory: f)
            for name, factory in factories.items()
        ]

    monkeypatch.setattr(processors, "entry_points", entry_points)


def test_plugins_come_from_the_entry_points_and_are_given_the_host(monkeypatch):
    hosts = []

    def factory(host):
        hosts.append(host)
        return Npu()

    entries(monkeypatch, npu=factory)
    found = Inventory.load(HOST).discover()
    assert hosts == [HOST]
    assert [each.processor_class for each in found.processors] == ["npu"]
    assert (found.devices, found.notes) == (("npu Acme One 1024",), ("seen",))


def test_the_cpu_and_the_gpu_plugin_are_installed():
    inventory = Inventory.load(HOST)
    assert {"cpu", "gpu"} <= set(inventory._plugins)
    assert "cpu" in {each.processor_class for each in inventory.discover().processors}


def test_a_plugin_that_cannot_be_imported_is_a_note_and_hides_no_other(monkeypatch):
    entries(monkeypatch, npu=lambda _: Npu())
    good = processors.entry_points(group="ferryman.processors")[0]

    def refuse():
        raise ImportError("no module acme")

    bad = SimpleNamespace(name="acme", load=refuse)
    monkeypatch.setattr(processors, "entry_points", lambda **_: [bad, good])
    found = Inventory.load(HOST).discover()
    assert [each.processor_class for each in found.processors] == ["npu"]
    assert found.notes == ("plug-in acme failed to start: ImportError: no module acme", "seen")


@pytest.mark.parametrize("action", ["discover", "sample"])
def test_a_plugin_that_fails_is_a_note_and_hides_no_other(action):
    inventory = Inventory({"bad": Npu("npu", fail=(action,)), "good": Npu("tpu")})
    note = f"plug-in bad failed to {action}: RuntimeError: driver is gone"
    if action == "discover":
        found = inventory.discover()
        assert [each.processor_class for each in found.processors] == ["tpu"]
        assert found.notes == (note, "seen")
    else:
        assert inventory.sample(1.0) == ({"tpu": Utilisation(0.5, notes=("warm",))}, (note, "warm"))


def test_of_two_plugins_with_one_class_the_first_by_name_counts():
    found = Inventory({"b": Npu(), "a": Npu()}).discover()
    assert len(found.processors) == 1
    assert "plug-in b: class npu is already taken" in found.notes


def add_pci_device(sys, vendor, kind, address="0000:00:0b.0"):
    folder = sys / "bus/pci/devices" / address
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "device").write_text("0x7d1d\n")
    (folder / "class").write_text(f"{kind}\n")


UNCLAIMED = (
    "no plug-in shows the accelerator 0000:00:0b.0 (vendor 0x8086, device 0x7d1d): "
    "docs/processors.md tells how"
)


@pytest.mark.parametrize(
    ("vendor", "kind", "noted"),
    [
        pytest.param("0x8086", "0x120000", True, id="a processing accelerator"),
        pytest.param("0x8086", "0x030200", True, id="another maker's GPU without a display"),
        pytest.param("0x8086", "0x030000", False, id="a graphics adapter"),
        pytest.param("0x10de", "0x030200", False, id="NVIDIA's, which its own plug-in notes"),
        pytest.param("0x8086", "0x020000", False, id="a network card"),
    ],
)
def test_an_accelerator_that_no_plugin_shows_is_a_note(tmp_path, vendor, kind, noted):
    add_pci_device(tmp_path, vendor, kind)
    host = Host(2_000, 2**32, sys=tmp_path)
    assert (UNCLAIMED in Inventory.build({}, host).discover().notes) is noted


def test_a_device_that_vanishes_while_one_looks_is_passed_over(tmp_path):
    add_pci_device(tmp_path, "0x8086", "0x120000")
    (tmp_path / "bus/pci/devices/0000:00:0b.0/class").unlink()
    assert Inventory.build({}, Host(1, 1, sys=tmp_path)).discover().notes == ()


def test_an_accelerator_that_a_plugin_shows_is_no_note(tmp_path):
    add_pci_device(tmp_path, "0x8086", "0x120000")
    host = Host(2_000, 2**32, sys=tmp_path)
    assert Inventory.build({"npu": lambda _: Npu()}, host).discover().notes == ("seen",)
    assert UNCLAIMED in Inventory.build({"gpu": lambda _: Npu("gpu")}, host).discover().notes
