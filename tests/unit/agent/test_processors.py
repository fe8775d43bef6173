# ruff: noqa: D102, ARG002  the doubles are described by the protocols they stand in for
from types import SimpleNamespace

import pytest

from ferryman.agent import processors
from ferryman.agent.processors import Discovery, Host, Inventory, Utilisation
from ferryman.api.node_profile import Processor

HOST = Host(2_000, 2**32)


class Npu:
    """A plug-in whose methods can be made to fail."""

    def __init__(self, kind="npu", fail=(), vendors=()):
        self.kind = kind
        self.vendors = frozenset(vendors)
        self.fail = fail

    def discover(self):
        self._maybe_fail("discover")
        device = Processor(processor_class=self.kind, product="Acme One")
        return Discovery(
            (device,), (f"{self.kind} Acme One 1024",), ("seen",), vendors=self.vendors
        )

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


def add_pci_device(sys, vendor, kind, address="0000:00:0b.0", number="0x7164"):
    folder = sys / "bus/pci/devices" / address
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "device").write_text(f"{number}\n")
    (folder / "class").write_text(f"{kind}\n")


def unclaimed(vendor="0x8086"):
    return (
        f"no plug-in shows the accelerator 0000:00:0b.0 (vendor {vendor}, device 0x7164): "
        "docs/processors.md tells how"
    )


@pytest.mark.parametrize(
    ("vendor", "kind", "noted"),
    [
        pytest.param("0x8086", "0x120000", True, id="a processing accelerator"),
        pytest.param("0x8086", "0x030200", True, id="another maker's GPU without a display"),
        pytest.param("0x8086", "0x038000", True, id="another display controller"),
        pytest.param("0x8086", "0x030000", True, id="a graphics adapter that can compute"),
        pytest.param("0x8086", "0x0b4000", False, id="a co-processor that encrypts"),
        pytest.param("0x1e60", "0x0b4000", True, id="a co-processor"),
        pytest.param("0x1002", "0x030000", True, id="AMD's GPU with a display"),
        pytest.param("0x1002", "0x038000", True, id="AMD's GPU without a display"),
        pytest.param("0x1a03", "0x030000", False, id="a management controller's graphics adapter"),
        pytest.param("0x1af4", "0x038000", False, id="a virtual machine's graphics adapter"),
        pytest.param("0x1414", "0x030200", True, id="a GPU that Hyper-V lends"),
        pytest.param("0x19e5", "0x030000", False, id="Huawei's management controller"),
        pytest.param("0x19e5", "0x120000", True, id="Huawei's accelerator"),
        pytest.param("0x1d0f", "0x088000", True, id="an accelerator that calls itself a system's"),
        pytest.param("0x10de", "0x030200", False, id="NVIDIA's, which its own plug-in notes"),
        pytest.param("0x8086", "0x020000", False, id="a network card"),
    ],
)
def test_an_accelerator_that_no_plugin_shows_is_a_note(tmp_path, vendor, kind, noted):
    add_pci_device(tmp_path, vendor, kind)
    host = Host(2_000, 2**32, sys=tmp_path)
    assert (unclaimed(vendor) in Inventory.build({}, host).discover().notes) is noted


def test_a_device_that_vanishes_while_one_looks_is_passed_over(tmp_path):
    add_pci_device(tmp_path, "0x8086", "0x120000")
    (tmp_path / "bus/pci/devices/0000:00:0b.0/class").unlink()
    assert Inventory.build({}, Host(1, 1, sys=tmp_path)).discover().notes == ()


def test_an_accelerator_that_a_plugin_shows_is_no_note(tmp_path):
    add_pci_device(tmp_path, "0x8086", "0x120000")
    host = Host(2_000, 2**32, sys=tmp_path)
    assert Inventory.build({"npu": lambda _: Npu()}, host).discover().notes == ("seen",)
    assert unclaimed() in Inventory.build({"gpu": lambda _: Npu("gpu")}, host).discover().notes


def test_a_plugin_that_names_its_vendors_hides_no_other_makers_accelerator(tmp_path):
    add_pci_device(tmp_path, "0x8086", "0x120000")
    add_pci_device(tmp_path, "0x1da3", "0x120000", address="0000:00:0c.0")
    host = Host(2_000, 2**32, sys=tmp_path)
    gaudi = Npu(vendors={"0x1da3"})
    assert unclaimed() in Inventory.build({"npu": lambda _: gaudi}, host).discover().notes


def test_what_the_kernel_drives_as_an_accelerator_is_one_whatever_its_class(tmp_path):
    add_pci_device(tmp_path, "0x8086", "0xff0000")
    (tmp_path / "bus/pci/devices/0000:00:0b.0/accel/accel0").mkdir(parents=True)
    host = Host(2_000, 2**32, sys=tmp_path)
    assert unclaimed() in Inventory.build({}, host).discover().notes


def test_many_accelerators_are_one_short_note(tmp_path):
    for number in range(16):
        add_pci_device(tmp_path, "0x1da3", "0x120000", address=f"0000:{number:02x}:00.0")
    (note,) = Inventory.build({}, Host(1, 1, sys=tmp_path)).discover().notes
    assert " and 10 more: " in note
    assert len(note) < 512


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(Utilisation(float("nan"), 0.5), (None, 0.5), id="not a number is unknown"),
        pytest.param(Utilisation(7.0, -1.0), (1.0, 0.0), id="what is out of bounds is at them"),
        pytest.param(Utilisation(0.5), (0.5, None), id="what is left out is unknown"),
    ],
)
def test_a_plugin_can_publish_nothing_that_cannot_be(seen, expected):
    npu = SimpleNamespace(discover=Discovery, sample=lambda _: {"npu": seen})
    sample, notes = Inventory({"npu": npu}).sample(1.0)
    assert (sample["npu"].processor, sample["npu"].memory) == expected
    assert len(notes) == expected.count(None)  # and says why it is unknown


def test_a_plugin_that_did_not_start_is_told():
    def refuse(_):
        raise OSError("not yet")

    assert Inventory.build({"npu": lambda _: Npu()}, HOST).whole
    assert not Inventory.build({"npu": refuse}, HOST).whole
