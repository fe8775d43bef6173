"""The boundary to NVIDIA's management library: the functions of ``pynvml`` that are called.

A test can stand in for a driver at this boundary. Meanings: NVIDIA's NVML API reference.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

MIG_ENABLED: Final = 1
EVENT_XID: Final = 0x8
"""``nvmlEventTypeXidCriticalError``."""

#: nvmlReturn_t in nvml.h.
ERROR_INVALID_ARGUMENT: Final = 2
ERROR_NOT_SUPPORTED: Final = 3
ERROR_NO_PERMISSION: Final = 4
ERROR_NOT_FOUND: Final = 6
ERROR_TIMEOUT: Final = 10
ERROR_FUNCTION_NOT_FOUND: Final = 13
ERROR_GPU_IS_LOST: Final = 15
ERROR_RESET_REQUIRED: Final = 16
ERROR_LIB_RM_VERSION_MISMATCH: Final = 18
ERROR_GPU_NOT_FOUND: Final = 28

#: What each error by which a GPU is out of use asks of a person.
ADVICE: Final = {
    ERROR_NO_PERMISSION: "let the agent's container use the device",
    ERROR_NOT_FOUND: "drain the node and restart it",
    ERROR_GPU_IS_LOST: "drain the node and restart it",
    ERROR_RESET_REQUIRED: "drain the node and reset the GPU",
    ERROR_GPU_NOT_FOUND: "drain the node and restart it",
}
_OTHER_ADVICE: Final = "see the node's kernel log, drain the node and restart it"
_LOST: Final = frozenset(ADVICE) - {ERROR_NO_PERMISSION}


# ruff: noqa: D102, N802  the names, and the meanings, are pynvml's
class Library(Protocol):
    """The functions of ``pynvml`` that are called; every one may raise ``NVMLError``."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlSystemGetDriverVersion(self) -> str | bytes: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...  # noqa: ANN401
    def nvmlDeviceGetName(self, handle: Any) -> str | bytes: ...  # noqa: ANN401
    def nvmlDeviceGetUUID(self, handle: Any) -> str | bytes: ...  # noqa: ANN401
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...  # noqa: ANN401
    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any: ...  # noqa: ANN401
    def nvmlDeviceGetMigMode(self, handle: Any) -> list[int]: ...  # noqa: ANN401
    def nvmlDeviceGetMaxMigDeviceCount(self, device: Any) -> int: ...  # noqa: ANN401
    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Any, index: int) -> Any: ...  # noqa: ANN401
    def nvmlEventSetCreate(self) -> Any: ...  # noqa: ANN401
    def nvmlDeviceRegisterEvents(
        self,
        handle: Any,  # noqa: ANN401
        eventTypes: int,  # noqa: N803
        eventSet: Any,  # noqa: ANN401, N803
    ) -> None: ...
    def nvmlEventSetWait_v2(self, eventSet: Any, timeoutms: int) -> Any: ...  # noqa: ANN401, N803
    def nvmlEventSetFree(self, eventSet: Any) -> None: ...  # noqa: ANN401, N803


def code(error: Exception) -> int | None:
    """Return the nvmlReturn_t of an NVMLError."""
    return getattr(error, "value", None)


def text(value: str | bytes) -> str:
    """Return a name as text: older versions of the package answer with bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def out_of_use(error: Exception) -> str:
    """Return why a GPU that answers with this error is out of use, and what to do."""
    return f"does not answer ({error}): {ADVICE.get(code(error) or 0, _OTHER_ADVICE)}"


def unavailable(error: Exception) -> str:
    """Return why NVML as a whole does not answer, and what to do where that is known."""
    if code(error) != ERROR_LIB_RM_VERSION_MISMATCH:
        return str(error)
    # The library stays loaded as it was, and only another process gets the new one.
    advice = "after an upgrade of the driver delete the agent's pod, or restart the node"
    return f"{str(error).rstrip('.')}: {advice}"


def ask(library: Library, call: Callable[[], T]) -> tuple[T | None, str | None]:
    """Return the answer, or None; and why the GPU is out of use where the error says so."""
    try:
        return call(), None
    except library.NVMLError as error:
        return None, out_of_use(error) if code(error) in _LOST else None


def ask_why(library: Library, call: Callable[[], T]) -> tuple[T | None, str | None, str | None]:
    """Return the answer, or None; why the GPU is out of use; and what NVML says instead."""
    try:
        return call(), None, None
    except library.NVMLError as error:
        why = str(error).strip().rstrip(".") or "it does not say why"
        return None, out_of_use(error) if code(error) in _LOST else None, why


def load() -> Library:
    """Import ``pynvml``. Raises ImportError."""
    import pynvml  # noqa: PLC0415  only nodes with an NVIDIA device pay for it

    library: Library = pynvml
    return library
