"""NVIDIA's management library: what its GPUs are and how busy they are.

``Library`` is the boundary: the functions of ``pynvml`` (nvidia-ml-py) that are used, so that a
test can stand in for a driver. Meanings: NVIDIA's NVML API reference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

MIG_ENABLED: Final = 1
#: nvmlReturn_t in nvml.h.
NVML_ERROR_GPU_IS_LOST: Final = 15


class Library(Protocol):
    """The functions of ``pynvml`` that are called; every one may raise ``NVMLError``."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: D102, N802
    def nvmlShutdown(self) -> None: ...  # noqa: D102, N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: D102, N802
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...  # noqa: ANN401, D102, N802
    def nvmlDeviceGetName(self, handle: Any) -> str | bytes: ...  # noqa: ANN401, D102, N802
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...  # noqa: ANN401, D102, N802
    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any: ...  # noqa: ANN401, D102, N802
    def nvmlDeviceGetMigMode(self, handle: Any) -> list[int]: ...  # noqa: ANN401, D102, N802


class NvmlUnavailableError(Exception):
    """NVML cannot be used at all: no library, no driver, no permission."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment; None where NVML does not say."""

    index: int
    product: str | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilisation: float | None = None
    """Share of the last sample period in which a kernel ran, 0 to 1."""
    mig: bool = False
    lost: str | None = None
    """Why the GPU does not answer, in NVML's words."""


class Nvml:
    """Reads all GPUs; starts the library at the first use and again after it failed."""

    def __init__(self, load: Callable[[], Library] | None = None) -> None:
        self._load = load or _load
        self._library: Library | None = None

    def gpus(self) -> tuple[Gpu, ...]:
        """Return every GPU. Raises NvmlUnavailableError when NVML does not work at all."""
        library = self._library or self._start()
        try:
            count = library.nvmlDeviceGetCount()
        except library.NVMLError as error:
            self._stop(library)
            raise NvmlUnavailableError(str(error)) from error
        return tuple(_gpu(library, index) for index in range(count))

    def _start(self) -> Library:
        try:
            library = self._load()
        except ImportError as error:
            raise NvmlUnavailableError(f"nvidia-ml-py is not installed: {error}") from error
        try:
            library.nvmlInit()
        except library.NVMLError as error:
            raise NvmlUnavailableError(str(error)) from error
        self._library = library
        return library

    def _stop(self, library: Library) -> None:
        """Forget the library, so that the next reading starts it anew (a reloaded driver)."""
        self._library = None
        _ask(library, library.nvmlShutdown)


def _gpu(library: Library, index: int) -> Gpu:
    """Read one GPU; whatever NVML does not support there stays None."""
    try:
        handle = library.nvmlDeviceGetHandleByIndex(index)
        name = library.nvmlDeviceGetName(handle)
    except library.NVMLError as error:
        return Gpu(index, lost=str(error))
    memory, lost = _ask(library, lambda: library.nvmlDeviceGetMemoryInfo(handle))
    mode, _ = _ask(library, lambda: library.nvmlDeviceGetMigMode(handle))
    mig = bool(mode) and mode is not None and mode[0] == MIG_ENABLED
    # Under MIG the whole device's utilisation is not defined: NVML refuses, or says 0.
    rates, also_lost = (
        (None, None)
        if mig
        else _ask(library, lambda: library.nvmlDeviceGetUtilizationRates(handle))
    )
    if lost or also_lost:
        return Gpu(index, lost=lost or also_lost)
    return Gpu(
        index=index,
        product=name.decode() if isinstance(name, bytes) else name,
        memory_bytes=None if memory is None else int(memory.total),
        memory_used_bytes=None if memory is None else int(memory.used),
        utilisation=None if rates is None else rates.gpu / 100,
        mig=mig,
    )


def _ask(library: Library, call: Callable[[], T]) -> tuple[T | None, str | None]:
    """Return the answer, or None; and NVML's words when the reason is that the GPU is lost."""
    try:
        return call(), None
    except library.NVMLError as error:
        lost = getattr(error, "value", None) == NVML_ERROR_GPU_IS_LOST
        return None, str(error) if lost else None


def _load() -> Library:
    import pynvml  # noqa: PLC0415  only nodes with an NVIDIA device pay for it

    library: Library = pynvml
    return library
