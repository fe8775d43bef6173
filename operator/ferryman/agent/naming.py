"""What a node type is called: words that people can read, and a hash only where they need one.

An agent sees its own node alone, so it cannot know of a clash. It can know whether its name can be
read back: where the name says everything that the fingerprint says, no other hardware has it. Where
something was left out (too long, unlike devices, letters that a label cannot carry), eight digits
of the fingerprint's SHA-256 stand for it.

Upper and lower case, blanks, marks (``(R)``) and words that stand in every name (``Processor``)
tell no hardware from another: names that differ in them alone are one.
"""

import hashlib
import json
import re
import unicodedata
from typing import Final, NamedTuple

from ferryman.api.node_profile import Hardware

MAX_NODE_TYPE: Final = 63
_GIB: Final = 2**30
_MIB: Final = 2**20
_QUARTER: Final = _GIB // 4
_HASH: Final = 8
#: What every label's value and every device's memory may leave unsaid.
_DEFAULT_ARCHITECTURE: Final = "amd64"
_ARCHITECTURES: Final = (
    "arm64",
    "arm",
    "s390x",
    "ppc64le",
    "riscv64",
    "loong64",
    "mips64le",
    "386",
)
_DEFAULT_CLASS: Final = "gpu"
_CLASSES: Final = frozenset({"npu", "tpu", "vpu", "dpu", "ipu", "hpu", "xpu", "fpga", "cpu"})
_MARKS: Final = re.compile(r"\((r|tm|c)\)", re.IGNORECASE)
_NOISE: Final = re.compile(
    r"\b(cpu|(\d+-core )?processor|intel|amd|arm|nvidia|corporation|genuine)\b", re.IGNORECASE
)
#: Blanks and punctuation that only separates.
_SEPARATORS: Final = re.compile(r"[\s/(),:;@_-]+|\.(?![a-z0-9])|(?<![a-z0-9])\.")
_READABLE: Final = re.compile(r"[a-z0-9.-]*")
_SIZE: Final = r"(?:\d+(?:\.\d+)?gi|\d+mi)"
_PLAIN: Final = re.compile(
    rf"(?:(?P<device>.+?)(?:-(?P<device_memory>{_SIZE}))?-x(?P<number>\d+)-)?"
    rf"(?:(?P<architecture>{'|'.join(_ARCHITECTURES)})-)?"
    rf"(?P<cpu>.+)-(?P<cores>\d+[cm])-(?P<memory>{_SIZE})"
)


class _Words(NamedTuple):
    """What a fingerprint says, in the words of a name."""

    device: str | None
    device_memory: str | None
    number: str | None
    architecture: str | None
    cpu: str
    cores: str
    memory: str

    def name(self) -> str:
        count = None if self.number is None else f"x{self.number}"
        parts = (self.device, self.device_memory, count, *self[3:])
        return "-".join(part for part in parts if part is not None)


def node_type(hardware: Hardware) -> str:
    """Return a label's value that is the same for equal fingerprints, and only then.

    ``epyc-9b14-2c-23gi``, ``t4-15gi-x1-xeon-2.2ghz-…``: devices, architecture where it is not
    amd64, CPU, cores, memory; at most 63 characters.
    """
    words, complete = _words(hardware)
    name = words.name()
    read = _PLAIN.fullmatch(name)
    if complete and len(name) <= MAX_NODE_TYPE and read and read.groups() == words:
        return name
    tail = f"{words.cores}-{words.memory}-{_digest(hardware)}"
    head = words._replace(cores="", memory="").name()[: MAX_NODE_TYPE - len(tail) - 1]
    return f"{head.strip('-.')}-{tail}"


def _words(hardware: Hardware) -> tuple[_Words, bool]:
    """Return the words, and whether they say everything."""
    cpu, cpu_said = _slug(hardware.cpu_model)
    architecture, memory = hardware.architecture, hardware.memory_bytes
    device, device_memory, devices_said = _device(hardware)
    known = architecture == _DEFAULT_ARCHITECTURE or architecture in _ARCHITECTURES
    words = _Words(
        device=device,
        device_memory=device_memory,
        number=str(len(hardware.devices)) if hardware.devices else None,
        architecture=None if architecture == _DEFAULT_ARCHITECTURE or not known else architecture,
        cpu=cpu,
        cores=_cores(hardware.cpu_millicores),
        memory=_size(memory),
    )
    return words, cpu_said and devices_said and known and (memory == 1 or memory % _QUARTER == 0)


def _device(hardware: Hardware) -> tuple[str | None, str | None, bool]:
    """Return the first device's words and its memory's, and whether they say everything.

    A device's line is ``CLASS PRODUCT MEMORY_MiB``.
    """
    if not hardware.devices:
        return None, None, True
    kind, _, rest = hardware.devices[0].partition(" ")
    product, _, mib = rest.rpartition(" ")
    counted = mib.isascii() and mib.isdigit() and len(mib) <= len(str(2**30))
    if not counted:
        product, mib = rest, "0"
    product_slug, said = _slug(product or kind)
    size = int(mib) * _MIB
    if kind != _DEFAULT_CLASS:
        product_slug, said = f"{_slug(kind)[0]}-{product_slug}", said and kind in _CLASSES
    elif product_slug.partition("-")[0] in _CLASSES:
        said = False  # it would read as a device of that class
    same = len(set(hardware.devices)) == 1
    return product_slug, _size(size) if size else None, said and same and size % _QUARTER == 0


def _slug(text: str) -> tuple[str, bool]:
    """Return lower-case letters, digits and dots joined by dashes, and whether that is all of it.

    Never empty: what leaves nothing is called unknown.
    """
    plain = _MARKS.sub(" ", text)
    words = _SEPARATORS.sub("-", _NOISE.sub(" ", plain).lower()).strip("-.")
    # A maker's name is said where it is all there is.
    words = words or _SEPARATORS.sub("-", plain.lower()).strip("-.")
    if words and _READABLE.fullmatch(words):
        return words, True
    kept = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9.]+", "-", kept).strip("-.") or "unknown", False


def _digest(hardware: Hardware) -> str:
    canonical = json.dumps(hardware.with_(cpu=None).as_dict(), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_HASH]


def _cores(millicores: int) -> str:
    return f"{millicores // 1_000}c" if millicores % 1_000 == 0 else f"{millicores}m"


def _size(size: int) -> str:
    """Return bytes in GiB to the quarter, or in MiB where that is less than one."""
    if size < _GIB:
        return f"{size // _MIB}mi"
    return f"{size // _GIB}{('', '.25', '.5', '.75')[size % _GIB // _QUARTER]}gi"
