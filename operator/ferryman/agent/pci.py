"""Accelerators that the kernel shows: what is there, whether or not a plug-in can see it.

Classes: the PCI Code and ID Assignment Specification; 03 is a display controller, 0302 one without
a display (data centre GPUs), 0380 another one (data centre GPUs of AMD and Intel), 12 a processing
accelerator, 0b40 a co-processor (some NPUs). Not every maker keeps to them.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ferryman.agent import reading

NVIDIA: Final = "0x10de"
DISPLAY: Final = "0x03"
#: What computes whoever made it.
_ACCELERATORS: Final = ("0x0302", "0x12", "0x0b40")
#: Makers whose display controllers only draw: management controllers and virtual machines.
_ONLY_DRAW: Final = frozenset(
    {
        "0x1013",  # Cirrus Logic, emulated
        "0x102b",  # Matrox
        "0x1039",  # SiS
        "0x126f",  # Silicon Motion
        "0x1234",  # QEMU's standard VGA
        "0x1414",  # Hyper-V; what it lends of a GPU is of class 0302
        "0x15ad",  # VMware
        "0x18ca",  # XGI
        "0x19e5",  # Huawei's management controller; its accelerators are of class 12
        "0x1a03",  # ASPEED
        "0x1af4",  # virtio
        "0x1b36",  # QXL
        "0x1d0f",  # Amazon's virtual VGA
        "0x80ee",  # VirtualBox
    }
)
#: Accelerators that call themselves something else.
_BY_NUMBER: Final = frozenset(
    {
        ("0x1022", "0x1502"),  # AMD XDNA, "signal processing controller"
        ("0x1022", "0x17f0"),
        ("0x1ac1", "0x089a"),  # Coral Edge TPU, "system peripheral"
        ("0x1d0f", "0x7064"),  # AWS Inferentia and Trainium, "system peripheral"
        ("0x1d0f", "0x7164"),
        ("0x1d0f", "0x7264"),
        ("0x1d0f", "0x7364"),
    }
)
#: Intel's co-processors encrypt and compress (QuickAssist): they compute no model.
_NO_ACCELERATORS: Final = frozenset({("0x8086", "0x0b40")})
#: So many are named in a note, which has 512 characters.
_NAMED: Final = 6


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One device; vendor, number and class as the kernel writes them, in hexadecimal."""

    address: str
    vendor: str
    number: str
    kind: str
    driven_as_accelerator: bool = False
    """Whether its driver registered it with the kernel's subsystem for accelerators."""

    @property
    def accelerator(self) -> bool:
        """Whether the device is there to compute."""
        if (self.vendor, self.kind[:6]) in _NO_ACCELERATORS:
            return False
        draws = self.kind.startswith(DISPLAY) and self.vendor in _ONLY_DRAW
        return (
            self.driven_as_accelerator
            or (self.vendor, self.number) in _BY_NUMBER
            or self.kind.startswith(_ACCELERATORS)
            or (self.kind.startswith(DISPLAY) and not draws)
        )


def devices(sys: Path) -> Iterator[PciDevice]:
    """Yield the devices in the order of their addresses; one that vanishes meanwhile is blank."""
    for folder in reading.children(sys / "bus/pci/devices"):
        vendor, number, kind = (
            (reading.text(folder / name) or "").lower() for name in ("vendor", "device", "class")
        )
        yield PciDevice(folder.name, vendor, number, kind, bool(reading.children(folder / "accel")))


def unclaimed(sys: Path, claimed: AbstractSet[str] = frozenset()) -> tuple[str, ...]:
    """Return a note for the accelerators that no plug-in shows.

    ``claimed`` are the vendors whose devices some plug-in shows; NVIDIA's own plug-in is built in.
    """
    found = [
        f"{each.address} (vendor {each.vendor}, device {each.number})"
        for each in devices(sys)
        if each.accelerator and each.vendor not in {NVIDIA, *claimed}
    ]
    if not found:
        return ()
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    note = (
        f"no plug-in shows the accelerator {', '.join(found[:_NAMED])}{more}: "
        "docs/processors.md tells how"
    )
    return (note,)
