"""NPUs for Ferryman's node agent, seen through ONNX Runtime's execution providers.

ONNX Runtime (1.22 and later) lists the devices that its execution providers can use. It is asked
once, in a child process: the library takes about 40 MiB, and the agent is to stay small. How busy
an NPU is it does not tell; Linux does for some, below ``/sys/class/accel``.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ferryman.agent.processors import Discovery, Host, Sample, Utilisation
from ferryman.api.node_profile import Processor

CLASS: Final = "npu"
TIMEOUT_S: Final = 20.0
_MIB: Final = 2**20
#: Integrated NPUs work in the node's own memory: twins must agree on it.
_MEMORY_STEP_MIB: Final = 256

#: Prints the NPUs as a JSON list of [provider, vendor, device number].
PROBE: Final = """
import json, onnxruntime
NPU = onnxruntime.OrtHardwareDeviceType.NPU
found = [each for each in onnxruntime.get_ep_devices() if each.device.type == NPU]
print(json.dumps([[e.ep_name, e.device.vendor or e.ep_vendor, e.device.device_id] for e in found]))
"""


class NpuUnknownError(Exception):
    """ONNX Runtime cannot be asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Npu:
    """One NPU, as an execution provider sees it."""

    provider: str
    vendor: str
    number: int
    """The device's PCI number, which tells the product."""

    @property
    def product(self) -> str:
        """The product's name, as far as it is known."""
        provider = self.provider.removesuffix("ExecutionProvider")
        return f"{self.vendor} NPU 0x{self.number:04x} ({provider})"


Probe = Callable[[], Sequence[Npu]]


def probe() -> tuple[Npu, ...]:
    """Ask ONNX Runtime for its NPUs, in a child process. Raises NpuUnknownError."""
    try:
        answer = subprocess.run(  # noqa: S603  our own program, without input
            [sys.executable, "-c", PROBE],
            capture_output=True,
            check=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [f"exit status {error.returncode}"]
        raise NpuUnknownError(said[-1]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NpuUnknownError(str(error)) from error
    return parse(answer.stdout)


def parse(answer: str) -> tuple[Npu, ...]:
    """Read the probe's answer; one NPU that several providers can use counts once.

    Raises NpuUnknownError.
    """
    try:
        found = [Npu(str(name), str(of), int(number)) for name, of, number in json.loads(answer)]
    except (TypeError, ValueError) as error:
        raise NpuUnknownError(f"its answer makes no sense: {error}") from error
    first: dict[tuple[str, int], str] = {}
    for npu in sorted(found, key=lambda each: each.provider):
        first.setdefault((npu.vendor, npu.number), npu.provider)
    return tuple(npu for npu in found if first[npu.vendor, npu.number] == npu.provider)


class NpuProcessors:
    """All NPUs of the node as one processor of class ``npu``."""

    def __init__(self, host: Host, ask: Probe = probe) -> None:
        self._host = host
        self._ask = ask
        self._found: tuple[Npu, ...] = ()
        self._unseen: str | None = None
        self._asked = False
        self._last: tuple[float, int] | None = None

    def discover(self) -> Discovery:
        """Return the NPUs; a note where Linux shows one that ONNX Runtime cannot be asked about."""
        if not self._asked:
            self._asked = True  # the answer is the same until the image is another
            self._ask_once()
        return self._discovery(self._found) if self._found else self._nothing()

    def sample(self, now_s: float) -> Sample:
        """Return the share of time that the NPUs were busy, where Linux counts it; else unknown."""
        if not self._found:
            return {}
        try:
            counters = [int(file.read_text()) for file in self._files("device/npu_busy_time_us")]
        except (OSError, ValueError) as error:
            self._last = None
            return {CLASS: Utilisation(notes=(f"NPU utilisation is unknown: {error}",))}
        if len(counters) != len(self._found):
            note = "NPU utilisation is unknown: the NPU's driver does not count busy time"
            return {CLASS: Utilisation(notes=(note,))}
        return {CLASS: Utilisation(self._busy(sum(counters), now_s))}

    def _ask_once(self) -> None:
        try:
            self._found = tuple(self._ask())
        except NpuUnknownError as error:
            self._unseen = f"ONNX Runtime cannot be asked: {error}"
        else:
            self._unseen = "no execution provider of this ONNX Runtime uses it"

    def _busy(self, busy_us: int, now_s: float) -> float | None:
        """Return busy time over elapsed time, as the mean of the NPUs; None the first time."""
        last, self._last = self._last, (now_s, busy_us)
        if last is None or now_s <= last[0] or busy_us < last[1]:
            return None
        available_us = (now_s - last[0]) * 1e6 * len(self._found)
        return min(1.0, (busy_us - last[1]) / available_us)

    def _discovery(self, npus: Sequence[Npu]) -> Discovery:
        products = sorted({npu.product for npu in npus})
        npu = Processor(
            processor_class=CLASS,
            product=" + ".join(products)[:256],
            count=len(npus),
            memory_bytes=self._host.memory_bytes,
        )
        mib = self._host.memory_bytes // _MIB // _MEMORY_STEP_MIB * _MEMORY_STEP_MIB
        return Discovery((npu,), tuple(f"{CLASS} {each.product[:200]} {mib}" for each in npus))

    def _nothing(self) -> Discovery:
        """Return a note where there is an accelerator; silence where there is none."""
        names = ", ".join(folder.name for folder in self._files(""))
        if not names:
            return Discovery()
        return Discovery(notes=(f"accelerator {names} is there but not seen: {self._unseen}",))

    def _files(self, name: str) -> list[Path]:
        """Return that file of each accelerator that has it."""
        folders = sorted((self._host.sys / "class/accel").glob("accel[0-9]*"))
        return [folder / name for folder in folders if (folder / name).exists()]
