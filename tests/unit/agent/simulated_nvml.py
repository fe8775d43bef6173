"""NVML without a driver: the functions of pynvml that are called, over GPUs made of values."""

from dataclasses import dataclass
from types import SimpleNamespace

import pynvml

# ruff: noqa: D102, N802  the names, and the meanings, are pynvml's


@dataclass
class SimulatedGpu:
    """One GPU; ``errors`` maps a function's name to the NVML error code that it raises."""

    name: str | bytes = "NVIDIA A100-SXM4-80GB"
    total: int = 85_899_345_920
    used: int = 8_589_934_592
    busy_percent: int = 40
    mig: int | None = 0
    errors: dict[str, int] | None = None


class SimulatedLibrary:
    """Stands in for the module ``pynvml``; raises pynvml's own error classes."""

    NVMLError = pynvml.NVMLError

    def __init__(self, *gpus: SimulatedGpu, init_error: int | None = None):
        self.gpus = list(gpus)
        self.init_error = init_error
        self.count_error: int | None = None
        self.calls: list[str] = []

    def nvmlInit(self):
        self.calls.append("init")
        if self.init_error is not None:
            raise pynvml.NVMLError(self.init_error)

    def nvmlShutdown(self):
        self.calls.append("shutdown")

    def nvmlDeviceGetCount(self):
        if self.count_error is not None:
            raise pynvml.NVMLError(self.count_error)
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self._answer(self.gpus[index], "handle", self.gpus[index])

    def nvmlDeviceGetName(self, handle):
        return self._answer(handle, "name", handle.name)

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

    def _answer(self, gpu, function, value):
        if gpu.errors and function in gpu.errors:
            raise pynvml.NVMLError(gpu.errors[function])
        return value
