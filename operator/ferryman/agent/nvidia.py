"""The processor class ``gpu``: NVIDIA GPUs as NVML sees them, and as the Node's labels tell."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ferryman.agent import pci, reading
from ferryman.agent.gpu_labels import GpuLabels
from ferryman.agent.pci import PciDevice
from ferryman.agent.processors import Discovery, Host, Sample, Utilisation
from ferryman.api.node_profile import Partition, Processor
from ferryman.clients.nvidia import nvml as nvml_client
from ferryman.clients.nvidia.nvml import Gpu, Nvml, NvmlUnavailableError

CLASS: Final = "gpu"
UNKNOWN_PRODUCT: Final = "NVIDIA GPU (unknown)"
_MIB: Final = 2**20
#: Drivers differ by a few MiB in what they reserve: twins must agree all the same.
_MEMORY_STEP_MIB: Final = 256
_MAX_REASON: Final = 256
_MAX_PARTITIONS: Final = 32
_SILENT: Final = Discovery()
_UNDER_MIG: Final = "GPU utilisation is unknown: NVML does not measure it under MIG"
#: What a Jetson's firmware calls it.
_TEGRA: Final = "nvidia,tegra"


class NvidiaProcessors:
    """All NVIDIA GPUs of the node as one processor of class ``gpu``."""

    def __init__(self, host: Host, nvml: Nvml | None = None) -> None:
        self._host = host
        self._labels = GpuLabels.read(host.labels)
        self._nvml = nvml or nvml_client.shared(host.ignored_xids)
        self._nvml.look_anew()
        self._found = False

    def discover(self) -> Discovery:
        """Return the GPUs; silence where there is none, a note where one cannot be read.

        When NVML stops answering, they are those last known, and out of use.
        """
        try:
            gpus, driver = self._nvml.gpus(), self._nvml.driver()
        except NvmlUnavailableError as error:
            return self._last_known(error)
        self._found = bool(gpus)
        if not gpus:
            return _SILENT
        return self._discovery(gpus, driver, _unusable(gpus), _count_unusable(gpus))

    def sample(self, now_s: float) -> Sample:  # noqa: ARG002  NVML averages by itself
        """Return the mean use over the GPUs that work; unknown as soon as one GPU's is."""
        if not self._found:
            return {}
        try:
            gpus = self._nvml.gpus()
        except NvmlUnavailableError as error:
            count = len(self._nvml.last()[0]) or None
            return {CLASS: Utilisation(unavailable=_stopped(error), unavailable_count=count)}
        working = [gpu for gpu in gpus if gpu.unusable is None]
        return {
            CLASS: Utilisation(
                _mean([gpu.utilisation for gpu in working]),
                _mean([_memory_share(gpu) for gpu in working]),
                _unusable(gpus),
                _count_unusable(gpus),
                tuple(_unknown(working)),
            )
        }

    def _last_known(self, error: NvmlUnavailableError) -> Discovery:
        """Return the GPUs that NVML told of before it failed, so that the node keeps its type."""
        gpus, driver = self._nvml.last()
        self._found = bool(gpus)
        if not gpus:
            return _unreadable(self._host, error)
        return self._discovery(gpus, driver, _stopped(error), len(gpus))

    def _discovery(
        self, gpus: Sequence[Gpu], driver: str | None, unavailable: str | None, count: int | None
    ) -> Discovery:
        gpus = [self._named(gpu) for gpu in gpus]
        products = sorted({_product(gpu) for gpu in gpus})
        processor = self._processor(gpus, products, driver, unavailable).with_(
            unavailable_count=count
        )
        return Discovery(
            (processor,), tuple(map(_device, gpus)), tuple(self._notes(gpus, products, driver))
        )

    def _named(self, gpu: Gpu) -> Gpu:
        """Return a GPU that NVML never named under the numbers of what is on the PCI bus.

        So that it is not taken for a twin of other hardware that nobody could name.
        """
        if gpu.product is not None:
            return gpu
        numbers = sorted({each.number for each in _on_the_bus(self._host.sys)})
        name = f"{UNKNOWN_PRODUCT[:-1]}, PCI {' or '.join(numbers)})" if numbers else None
        return replace(gpu, product=name)

    def _processor(
        self,
        gpus: Sequence[Gpu],
        products: Sequence[str],
        driver: str | None,
        unavailable: str | None,
    ) -> Processor:
        mig, labels = any(gpu.mig for gpu in gpus), self._labels
        version = labels.driver or driver
        return Processor(
            processor_class=CLASS,
            product=" + ".join(products)[:256],
            count=len(gpus),
            # What is unknown of one GPU is unknown of all: a part of the sum would be a figure.
            memory_bytes=_sum([gpu.memory_bytes for gpu in gpus]),
            sharing="mig" if mig else labels.sharing,
            replicas=labels.replicas,
            mig_strategy=labels.mig_strategy,
            partitions=_partitions(gpus),
            driver=None if version is None else version[:128],
            unavailable=unavailable,
        )

    def _notes(
        self, gpus: Sequence[Gpu], products: Sequence[str], driver: str | None
    ) -> Iterator[str]:
        mig = any(gpu.mig for gpu in gpus)
        if len(products) > 1:
            yield "GPUs of several products count as one class here"
        if mig and not all(gpu.mig for gpu in gpus):
            yield "some GPUs are divided by MIG and some are whole: they count as one class here"
        if mig:
            yield _UNDER_MIG
        if mig and self._labels.sharing != "none":
            yield f"MIG instances are shared further by {self._labels.sharing}"
        for gpu in gpus:
            yield from (f"GPU {gpu.index} {each}" for each in gpu.reported)
            if gpu.blind is not None and gpu.unusable is None:
                yield f"XID errors of GPU {gpu.index} cannot be seen: {gpu.blind}"
        on_the_bus = len(_on_the_bus(self._host.sys))
        if on_the_bus > len(gpus):
            yield (
                f"{on_the_bus} NVIDIA GPUs are on the PCI bus, NVML lists {len(gpus)}: "
                "see the node's kernel log, and whether the others are lent to virtual machines"
            )
        seen = Counter(gpu.product for gpu in gpus if gpu.product is not None)
        yield from self._labels.disagreements(
            products=seen, count=len(gpus), driver=driver, mig=mig
        )


def _unknown(gpus: Sequence[Gpu]) -> Iterator[str]:
    """Yield why the class's use is unknown."""
    if any(gpu.mig for gpu in gpus):
        yield _UNDER_MIG
    for what, why in (
        ("GPU utilisation", [(gpu.index, gpu.utilisation_unknown) for gpu in gpus]),
        ("GPU memory utilisation", [(gpu.index, gpu.memory_unknown) for gpu in gpus]),
    ):
        reasons = [(index, each) for index, each in why if each is not None]
        if reasons:
            numbers = ", ".join(str(index) for index, _ in reasons)
            yield f"{what} is unknown: NVML does not tell it of GPU {numbers} ({reasons[0][1]})"


def _sum(values: Sequence[int | None]) -> int:
    """Return the sum, or 0 for unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else 0


def _product(gpu: Gpu) -> str:
    return gpu.product or UNKNOWN_PRODUCT


def _device(gpu: Gpu) -> str:
    """Return the GPU's line of the hardware fingerprint."""
    mib = (gpu.memory_bytes or 0) // _MIB // _MEMORY_STEP_MIB * _MEMORY_STEP_MIB
    layout = "+".join(f"{each.count}x{each.profile}" for each in gpu.profiles)
    mig = f" MIG {layout}".rstrip() if gpu.mig else ""
    return f"{CLASS} {_product(gpu)[:150]}{mig[:80]} {mib}"


def _partitions(gpus: Iterable[Gpu]) -> tuple[Partition, ...]:
    """Return the MIG instances of all GPUs by profile; an unequal memory counts as the least."""
    counts: dict[str, int] = {}
    memory: dict[str, int] = {}
    for each in (profile for gpu in gpus for profile in gpu.profiles):
        size = each.memory_bytes or 0
        counts[each.profile] = counts.get(each.profile, 0) + each.count
        memory[each.profile] = min(size, memory.get(each.profile, size))
    return tuple(
        Partition(profile=name[:64], count=counts[name], memory_bytes=memory[name])
        for name in sorted(counts)[:_MAX_PARTITIONS]
    )


def _memory_share(gpu: Gpu) -> float | None:
    if gpu.memory_used_bytes is None or not gpu.memory_bytes:
        return None
    return min(1.0, gpu.memory_used_bytes / gpu.memory_bytes)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _unusable(gpus: Iterable[Gpu]) -> str | None:
    """Return which GPUs must not be used, and why.

    Whether the others may be is for the operator to say, who sees what the device plugin offers:
    pods cannot choose among the node's GPUs.
    """
    why = [f"GPU {gpu.index} {gpu.unusable}" for gpu in gpus if gpu.unusable is not None]
    return "; ".join(why)[:_MAX_REASON] or None


def _count_unusable(gpus: Iterable[Gpu]) -> int | None:
    return sum(gpu.unusable is not None for gpu in gpus) or None


def _stopped(error: NvmlUnavailableError) -> str:
    """Return why the class must not be used while NVML, which answered before, is silent."""
    why = f"NVML stopped answering ({error}): see whether the driver is loaded"
    return why[:_MAX_REASON]


def _on_the_bus(sys: Path) -> list[PciDevice]:
    return [
        each
        for each in pci.devices(sys)
        if each.vendor == pci.NVIDIA and each.kind.startswith(pci.DISPLAY)
    ]


def _unreadable(host: Host, error: NvmlUnavailableError) -> Discovery:
    devices = [each.address for each in _on_the_bus(host.sys)]
    tree = reading.text(host.proc / "device-tree/compatible") or ""
    if not devices and _TEGRA in tree:
        devices = ["of this board"]  # its GPU is on no bus
    if not devices:
        return _SILENT
    return Discovery(
        notes=(f"NVIDIA device {', '.join(devices)} is there but NVML is not: {error}",)
    )
