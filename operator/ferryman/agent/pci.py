"""Accelerators on the PCI bus: what is there, whether or not a plug-in can see it.

Classes: the PCI Code and ID Assignment Specification; 03 is a display controller, 0302 one without
a display (data centre GPUs), 12 a processing accelerator.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NVIDIA: Final = "0x10de"
DISPLAY: Final = "0x03"
_ACCELERATORS: Final = ("0x0302", "0x12")


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One device; vendor, number and class as the kernel writes them, in hexadecimal."""

    address: str
    vendor: str
    number: str
    kind: str

    @property
    def accelerator(self) -> bool:
        """Whether the device is there to compute."""
        return self.kind.startswith(_ACCELERATORS)


def devices(sys: Path) -> Iterator[PciDevice]:
    """Yield the devices in the order of their addresses."""
    for folder in sorted((sys / "bus/pci/devices").glob("*")):
        yield PciDevice(
            folder.name, _read(folder / "vendor"), _read(folder / "device"), _read(folder / "class")
        )


def unclaimed(sys: Path) -> tuple[str, ...]:
    """Return a note for the accelerators of other makers than NVIDIA, whose plug-in is built in."""
    found = [
        f"{each.address} (vendor {each.vendor}, device {each.number})"
        for each in devices(sys)
        if each.accelerator and each.vendor != NVIDIA
    ]
    if not found:
        return ()
    note = f"no plug-in shows the accelerator {', '.join(found)}: docs/processors.md tells how"
    return (note,)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""  # a device can be removed while one looks
