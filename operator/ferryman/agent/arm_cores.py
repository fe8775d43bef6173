"""Names of Arm cores: the kernel tells of each only the numbers of its implementer and part.

Numbers: the Main ID Register in Arm's Architecture Reference Manual, and each core's own manual.
"""

from collections.abc import Mapping
from typing import Final

#: Implementer and part -> maker and name; what is not here stays a number.
NAMES: Final[Mapping[tuple[int, int], str]] = {
    (0x41, 0xD03): "Arm Cortex-A53",
    (0x41, 0xD04): "Arm Cortex-A35",
    (0x41, 0xD05): "Arm Cortex-A55",
    (0x41, 0xD07): "Arm Cortex-A57",
    (0x41, 0xD08): "Arm Cortex-A72",
    (0x41, 0xD09): "Arm Cortex-A73",
    (0x41, 0xD0A): "Arm Cortex-A75",
    (0x41, 0xD0B): "Arm Cortex-A76",
    (0x41, 0xD0C): "Arm Neoverse-N1",
    (0x41, 0xD40): "Arm Neoverse-V1",
    (0x41, 0xD41): "Arm Cortex-A78",
    (0x41, 0xD42): "Arm Cortex-A78AE",
    (0x41, 0xD44): "Arm Cortex-X1",
    (0x41, 0xD46): "Arm Cortex-A510",
    (0x41, 0xD47): "Arm Cortex-A710",
    (0x41, 0xD48): "Arm Cortex-X2",
    (0x41, 0xD49): "Arm Neoverse-N2",
    (0x41, 0xD4A): "Arm Neoverse-E1",
    (0x41, 0xD4B): "Arm Cortex-A78C",
    (0x41, 0xD4D): "Arm Cortex-A715",
    (0x41, 0xD4E): "Arm Cortex-X3",
    (0x41, 0xD4F): "Arm Neoverse-V2",
    (0x41, 0xD80): "Arm Cortex-A520",
    (0x41, 0xD81): "Arm Cortex-A720",
    (0x41, 0xD82): "Arm Cortex-X4",
    (0x41, 0xD84): "Arm Neoverse-V3",
    (0x41, 0xD85): "Arm Cortex-X925",
    (0x41, 0xD87): "Arm Cortex-A725",
    (0x41, 0xD8E): "Arm Neoverse-N3",
    (0x46, 0x001): "Fujitsu A64FX",
    (0x48, 0xD01): "HiSilicon TaiShan-v110",
    (0x4E, 0x000): "NVIDIA Denver",
    (0x4E, 0x003): "NVIDIA Denver-2",
    (0x4E, 0x004): "NVIDIA Carmel",
    (0xC0, 0xAC3): "Ampere-1",
    (0xC0, 0xAC4): "Ampere-1A",
}


def describe(implementer: str, part: str, variant: str) -> str:
    """Return a core's name and major revision, or its numbers as the kernel writes them."""
    name, revision = _named(implementer, part), _number(variant)
    if name is not None and (revision is not None or not variant):
        return name if revision is None else f"{name} r{revision}"
    known = {"implementer": implementer, "part": part, "variant": variant}
    return "Arm " + " ".join(f"{key} {value}" for key, value in known.items() if value)


def _named(implementer: str, part: str) -> str | None:
    numbers = _number(implementer), _number(part)
    return None if None in numbers else NAMES.get((numbers[0] or 0, numbers[1] or 0))


def _number(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None
