"""What a CPU is called: from ``/proc/cpuinfo``, which each architecture's kernel writes its way.

A name that names nothing (``ARMv8 Processor rev 0 (v8l)``, ``unknown``) counts as none. Then the
CPU's own numbers stand for it, then the board's, so that unlike CPUs that nobody could name are not
taken for twins.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ferryman.agent import arm_cores, reading

UNKNOWN_MODEL: Final = "unknown"
MAX_MODEL: Final = 256
#: In this order: x86, LoongArch, MIPS, Arm of old, POWER, RISC-V, boards.
_NAMES: Final = (
    *("model name", "Model Name", "cpu model", "Processor", "cpu", "uarch", "Model", "Hardware"),
)
#: What says nothing about the CPU in the place of its name.
_NO_NAME: Final = re.compile(
    r"[\W_]*(unknown|undefined|none|n/?a|not specified|default( string)?|generic dt based system"
    r"|to be filled by o\.?e\.?m\.?|\d{0,2}|(aarch64|arm(v\d+)?\w*)\W+(compatible\W+)?processor.*)"
    r"[\W_]*",
    re.IGNORECASE,
)
#: Numbers that tell CPUs apart where nothing names them, in the words of their kernels.
_NUMBERS: Final = (
    *("vendor_id", "cpu family", "CPU Family", "model", "stepping"),  # x86, LoongArch, s390x
    *("mvendorid", "marchid", "mimpid", "isa"),  # RISC-V
    *("system type", "machine", "platform", "cpu type"),  # MIPS, POWER and others
)
_S390_MACHINE: Final = re.compile(r"\bmachine\s*[=:]\s*(\w+)")
_BOARD: Final = (
    "devices/virtual/dmi/id/sys_vendor",
    "devices/virtual/dmi/id/product_name",
    "devices/virtual/dmi/id/board_name",
    "devices/soc0/family",
    "devices/soc0/soc_id",
)
_read: dict[tuple[Path, Path], str] = {}


def cpu_model(cpuinfo: str) -> str:
    """Return the CPU's model from the text of ``/proc/cpuinfo``, or ``unknown``.

    Some virtual machines name no generation (``AMD EPYC``): the CPU's numbers, which are its own
    and so the same under every kernel, are added where the name has no number.
    """
    fields = _fields(cpuinfo)
    named = next((fields[key] for key in _NAMES if not _names_nothing(fields.get(key, ""))), None)
    numbers = _arm(cpuinfo) or _s390(cpuinfo, fields)
    if named is None:
        found = numbers or _numbers(fields) or UNKNOWN_MODEL
    elif _has_number(named):
        found = named
    else:
        added = numbers or _generation(fields)
        found = f"{named} ({added})" if added else named
    return printable(found)[:MAX_MODEL].strip() or UNKNOWN_MODEL


def read_cpu_model(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> str:
    """Return the model of this machine's CPU, or what else tells it from others; never raises.

    What was once known is remembered; what was not is looked for again.
    """
    if (proc, sys) in _read:
        return _read[proc, sys]
    model = cpu_model(reading.text(proc / "cpuinfo") or "")
    if model == UNKNOWN_MODEL:
        board = _board(proc, sys)
        return f"unknown CPU of {board}"[:MAX_MODEL] if board else UNKNOWN_MODEL
    _read[proc, sys] = model
    return model


def printable(text: str) -> str:
    """Return text on one line, without what JSON or a terminal cannot carry."""
    kept = (" " if c.isspace() else c for c in text)
    words = "".join(c for c in kept if unicodedata.category(c) not in {"Cc", "Cs", "Cn", "Co"})
    return " ".join(words.split())


def _fields(cpuinfo: str) -> Mapping[str, str]:
    """Return each key's first value."""
    fields: dict[str, str] = {}
    for key, value in _pairs(cpuinfo):
        fields.setdefault(key, value)
    return fields


def _pairs(cpuinfo: str) -> Iterator[tuple[str, str]]:
    for line in cpuinfo.splitlines():
        key, separator, value = line.partition(":")
        if separator and value.strip():
            yield key.strip(), value.strip()


def _names_nothing(value: str) -> bool:
    return _NO_NAME.fullmatch(value) is not None


def _has_number(name: str) -> bool:
    """Whether a name, clock rate apart, has a number."""
    return any(letter.isdigit() for letter in name.partition("@")[0])


def _generation(fields: Mapping[str, str]) -> str:
    """Return family and model of an x86 CPU."""
    if "cpu family" not in fields or "model" not in fields:
        return ""
    return f"family {fields['cpu family']} model {fields['model']}"


def _arm(cpuinfo: str) -> str:
    """Return all kinds of cores of an Arm CPU: which one comes first is chance."""
    cores: list[dict[str, str]] = []
    for key, value in _pairs(cpuinfo):
        if key == "CPU implementer":
            cores.append({})
        if key in {"CPU implementer", "CPU part", "CPU variant"}:
            if not cores:
                cores.append({})
            cores[-1][key.removeprefix("CPU ")] = value
    kinds = {
        arm_cores.describe(*(core.get(key, "") for key in ("implementer", "part", "variant")))
        for core in cores
    }
    return " + ".join(sorted(kinds))


def _s390(cpuinfo: str, fields: Mapping[str, str]) -> str:
    """Return the machine type of an s390x CPU, which stands in each processor's line."""
    vendor = fields.get("vendor_id", "")
    machine = _S390_MACHINE.search(cpuinfo) if "S390" in vendor else None
    return f"{vendor} machine {machine[1]}" if machine else ""


def _numbers(fields: Mapping[str, str]) -> str:
    known = ((key, fields[key]) for key in _NUMBERS if key in fields)
    return " ".join(f"{key} {value}" for key, value in known)


def _board(proc: Path, sys: Path) -> str:
    """Return what the firmware calls the machine."""
    tree = reading.text(proc / "device-tree/model") or reading.text(proc / "device-tree/compatible")
    found = [tree, *(reading.text(sys / name) for name in _BOARD)]
    words = (printable((each or "").replace("\0", " ")) for each in found)
    return " ".join(dict.fromkeys(word for word in words if not _names_nothing(word)))
