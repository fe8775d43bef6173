"""NVML without a driver: the functions of pynvml that are called, over GPUs made of values."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pynvml

# ruff: noqa: D102, N802, N803  the names, and the meanings, are pynvml's


@dataclass
class SimulatedInstance:
    """One MIG instance; its handle answers to name and memory alone."""

    name: str | bytes = "NVIDIA A100-SXM4-80GB MIG 1g.10gb"
    total: int = 10_200_547_328
    used: int = 0
    errors: dict[str, int] | None = None


@dataclass
class SimulatedGpu:
    """One GPU; ``errors`` maps a function's name to the NVML error code that it raises.

    ``instances`` are the places of its MIG instances: None is a place that none takes. ``xids``
    are the errors that its driver reports next.
    """

    name: str | bytes = "NVIDIA A100-SXM4-80GB"
    uuid: str | bytes = "GPU-0"
    total: int = 85_899_345_920
    used: int = 8_589_934_592
    busy_percent: int = 40
    mig: int | None = 0
    instances: tuple[SimulatedInstance | None, ...] = ()
    xids: list[int] = field(default_factory=list)
    errors: dict[str, int] | None = None


@dataclass
class SimulatedEventSet:
    """An event set: of one GPU, as the code under test registers them."""

    gpu: SimulatedGpu | None = None
    freed: bool = False


class SimulatedLibrary:
    """Stands in for the module ``pynvml``; raises pynvml's own error classes."""

    NVMLError = pynvml.NVMLError

    def __init__(self, *gpus: SimulatedGpu, init_error: int | None = None):
        self.gpus = list(gpus)
        self.init_error = init_error
        self.count_error: int | None = None
        self.driver: str | bytes | None = "550.54.15"
        self.event_sets_error: int | None = None
        self.event_sets: list[SimulatedEventSet] = []
        self.waits_ms: list[int] = []
        self.calls: list[str] = []

    def nvmlInit(self):
        self.calls.append("init")
        if self.init_error is not None:
            raise pynvml.NVMLError(self.init_error)

    def nvmlShutdown(self):
        self.calls.append("shutdown")

    def nvmlSystemGetDriverVersion(self):
        if self.driver is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return self.driver

    def nvmlDeviceGetCount(self):
        if self.count_error is not None:
            raise pynvml.NVMLError(self.count_error)
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self._answer(self.gpus[index], "handle", self.gpus[index])

    def nvmlDeviceGetName(self, handle):
        return self._answer(handle, "name", handle.name)

    def nvmlDeviceGetUUID(self, handle):
        return self._answer(handle, "uuid", handle.uuid)

    def nvmlDeviceGetMemoryInfo(self, handle):
        memory = SimpleNamespace(total=handle.total, used=handle.used)
        return self._answer(handle, "memory", memory)

    def nvmlDeviceGetUtilizationRates(self, handle):
        # What a driver says of a MIG parent: the caller must not have asked.
        rates = SimpleNamespace(gpu=0 if handle.mig else handle.busy_percent, memory=0)
        return self._answer(handle, "utilisation", rates)

    def nvmlDeviceGetMigMode(self, handle):
        if handle.mig is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [handle.mig, handle.mig]

    def nvmlDeviceGetMaxMigDeviceCount(self, device):
        return self._answer(device, "instances", len(device.instances))

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device, index):
        instance = self._answer(device, "instance", device.instances[index])
        if instance is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return instance

    def nvmlEventSetCreate(self):
        if self.event_sets_error is not None:
            raise pynvml.NVMLError(self.event_sets_error)
        self.event_sets.append(SimulatedEventSet())
        return self.event_sets[-1]

    def nvmlDeviceRegisterEvents(self, handle, eventTypes, eventSet):
        assert eventTypes == pynvml.nvmlEventTypeXidCriticalError
        eventSet.gpu = self._answer(handle, "events", handle)

    def nvmlEventSetWait_v2(self, eventSet, timeoutms):
        assert not eventSet.freed
        self.waits_ms.append(timeoutms)
        self._answer(eventSet.gpu, "wait", None)
        if not eventSet.gpu.xids:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
        return SimpleNamespace(
            eventType=pynvml.nvmlEventTypeXidCriticalError, eventData=eventSet.gpu.xids.pop(0)
        )

    def nvmlEventSetFree(self, eventSet):
        assert not eventSet.freed
        eventSet.freed = True

    def _answer(self, gpu, function, value):
        if gpu.errors and function in gpu.errors:
            raise pynvml.NVMLError(gpu.errors[function])
        return value
