"""The processor class ``gpu``: NVIDIA GPUs as NVML sees them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from ferryman.agent.processors import Discovery, Host, Sample, Utilisation
from ferryman.api.node_profile import Processor
from ferryman.clients.nvml import Gpu, Nvml, NvmlUnavailableError

CLASS: Final = "gpu"
VENDOR: Final = "0x10de"
#: PCI class 03: display controllers, which data centre GPUs (3D controllers) are too.
DISPLAY: Final = "0x03"
SHARING_LABEL: Final = "nvidia.com/gpu.sharing-strategy"
UNKNOWN_PRODUCT: Final = "NVIDIA GPU (unknown)"
_MIB: Final = 2**20
#: Drivers differ by a few MiB in what they reserve: twins must agree all the same.
_MEMORY_STEP_MIB: Final = 256
_SILENT: Final = Discovery()

Sharing = Literal["none", "mig", "time-slicing", "mps"]
_STRATEGIES: Final[dict[str, Sharing]] = {"time-slicing": "time-slicing", "mps": "mps"}


class NvidiaProcessors:
    """All NVIDIA GPUs of the node as one processor of class ``gpu``."""

    def __init__(self, host: Host, nvml: Nvml | None = None) -> None:
        self._host = host
        self._nvml = nvml or Nvml()
        self._known: dict[int, Gpu] = {}
        self._found = False

    def discover(self) -> Discovery:
        """Return the GPUs; silence where there is none, a note where one cannot be read."""
        try:
            gpus = self._read()
        except NvmlUnavailableError as error:
            self._found = False
            return _unreadable(self._host.sys, error)
        self._found = bool(gpus)
        if not gpus:
            return _SILENT
        products = sorted({_product(gpu) for gpu in gpus})
        notes = ("GPUs of several products count as one class here",) if len(products) > 1 else ()
        return Discovery((self._processor(gpus, products),), tuple(map(_device, gpus)), notes)

    def sample(self, now_s: float) -> Sample:  # noqa: ARG002  NVML averages by itself
        """Return the mean use over the GPUs; unknown as soon as one GPU's is."""
        if not self._found:
            return {}
        try:
            gpus = self._read()
        except NvmlUnavailableError as error:
            return {CLASS: Utilisation(unavailable=f"NVML stopped answering: {error}")}
        used = [_memory_share(gpu) for gpu in gpus]
        return {
            CLASS: Utilisation(_mean([gpu.utilisation for gpu in gpus]), _mean(used), _lost(gpus))
        }

    def _read(self) -> tuple[Gpu, ...]:
        """Read all GPUs; a lost one keeps the product and memory it had."""
        gpus = tuple(self._remembered(gpu) for gpu in self._nvml.gpus())
        self._known |= {gpu.index: gpu for gpu in gpus if gpu.lost is None}
        return gpus

    def _remembered(self, gpu: Gpu) -> Gpu:
        known = self._known.get(gpu.index)
        if gpu.lost is None or known is None:
            return gpu
        return replace(gpu, product=known.product, memory_bytes=known.memory_bytes, mig=known.mig)

    def _processor(self, gpus: Sequence[Gpu], products: Sequence[str]) -> Processor:
        mig = any(gpu.mig for gpu in gpus)
        label = self._host.labels.get(SHARING_LABEL, "none")
        return Processor(
            processor_class=CLASS,
            product=" + ".join(products)[:256],
            count=len(gpus),
            memory_bytes=sum(gpu.memory_bytes or 0 for gpu in gpus),
            sharing="mig" if mig else _STRATEGIES.get(label, "none"),
            unavailable=_lost(gpus),
        )


def _product(gpu: Gpu) -> str:
    return gpu.product or UNKNOWN_PRODUCT


def _device(gpu: Gpu) -> str:
    """Return the GPU's line of the hardware fingerprint."""
    mib = (gpu.memory_bytes or 0) // _MIB // _MEMORY_STEP_MIB * _MEMORY_STEP_MIB
    return f"{CLASS} {_product(gpu)[:200]}{' MIG' if gpu.mig else ''} {mib}"


def _memory_share(gpu: Gpu) -> float | None:
    if gpu.memory_used_bytes is None or not gpu.memory_bytes:
        return None
    return min(1.0, gpu.memory_used_bytes / gpu.memory_bytes)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _lost(gpus: Iterable[Gpu]) -> str | None:
    """Return why the class must not be used: a lost GPU needs the node to be drained."""
    lost = [f"GPU {gpu.index} does not answer: {gpu.lost}" for gpu in gpus if gpu.lost is not None]
    return "; ".join(lost)[:256] or None


def _unreadable(sys: Path, error: NvmlUnavailableError) -> Discovery:
    devices = _pci_devices(sys)
    if not devices:
        return _SILENT
    return Discovery(
        notes=(f"NVIDIA device {', '.join(devices)} is there but NVML is not: {error}",)
    )


def _pci_devices(sys: Path) -> list[str]:
    """Return the PCI addresses of NVIDIA display controllers."""
    return [
        folder.name
        for folder in sorted((sys / "bus/pci/devices").glob("*"))
        if _starts(folder / "vendor", VENDOR) and _starts(folder / "class", DISPLAY)
    ]


def _starts(file: Path, prefix: str) -> bool:
    return file.exists() and file.read_text().startswith(prefix)
