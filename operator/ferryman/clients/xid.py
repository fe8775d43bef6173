"""XID errors: what a driver reports of a GPU that went wrong, as NVML's events.

Each GPU has an event set of its own, so that an event tells its GPU even when the GPU no longer
answers. Only events after the registration are seen. Numbers and what they ask for: NVIDIA's
"XID Errors" reference, https://docs.nvidia.com/deploy/xid-errors.
"""

from functools import partial
from typing import Any, Final

from ferryman.clients.nvml_library import ERROR_TIMEOUT, EVENT_XID, Library, ask, code

#: Errors of the program that ran there; the GPU goes on. The same that NVIDIA's device plugin
#: passes over: https://github.com/NVIDIA/k8s-device-plugin, internal/rm/health.go.
OF_APPLICATIONS: Final = frozenset({13, 31, 43, 45, 68, 109})
#: At most so many events of one GPU are taken in at once: sampling must not block.
MAX_EVENTS: Final = 64
_RESET: Final = "drain the node and reset the GPU"
_RESTART: Final = "drain the node and restart it"
#: What happened, and what to do about it.
_KNOWN: Final = {
    48: ("a double-bit memory error", _RESET),
    63: ("memory was remapped", _RESET),
    64: ("remapping memory failed", _RESET),
    74: ("an NVLink error", _RESET),
    79: ("it has fallen off the bus", _RESTART),
    92: ("many corrected memory errors", _RESET),
    94: ("a contained memory error", _RESET),
    95: ("an uncontained memory error", _RESET),
    119: ("its system processor does not answer", _RESET),
    120: ("its system processor failed", _RESET),
}
_UNKNOWN: Final = ("a critical error", _RESET)


def reason(xid: int) -> str:
    """Return what an XID says of its GPU, and what to do."""
    what, remedy = _KNOWN.get(xid, _UNKNOWN)
    return f"reported XID {xid} ({what}): {remedy}, then restart the agent's pod"


class XidWatch:
    """Remembers the first critical XID of each GPU for as long as the process lives.

    NVML does not say when a GPU is well again: after a reset the agent's pod is started anew.
    """

    def __init__(self) -> None:
        self._sets: dict[str, Any] = {}
        self._critical: dict[str, int] = {}
        self._blind: dict[str, str] = {}

    def watch(self, library: Library, uuid: str, handle: Any) -> None:  # noqa: ANN401
        """Begin to watch a GPU, unless that was tried before."""
        if uuid not in self._sets and uuid not in self._blind:
            self._register(library, uuid, handle)

    def poll(self, library: Library, uuid: str) -> int | None:
        """Take in the GPU's new events; return the first critical XID there was, or None."""
        if uuid in self._sets:
            self._drain(library, uuid)
        return self._critical.get(uuid)

    def blind(self, uuid: str) -> str | None:
        """Return why the GPU's XID errors cannot be seen, in NVML's words, or None."""
        return self._blind.get(uuid)

    def close(self, library: Library) -> None:
        """Give the event sets back; what was seen stays."""
        for event_set in self._sets.values():
            ask(library, partial(library.nvmlEventSetFree, event_set))
        self._sets.clear()
        self._blind.clear()

    def _register(self, library: Library, uuid: str, handle: Any) -> None:  # noqa: ANN401
        try:
            event_set = library.nvmlEventSetCreate()
        except library.NVMLError as error:
            self._blind[uuid] = str(error)
            return
        try:
            library.nvmlDeviceRegisterEvents(handle, EVENT_XID, event_set)
        except library.NVMLError as error:
            self._blind[uuid] = str(error)
            ask(library, partial(library.nvmlEventSetFree, event_set))
        else:
            self._sets[uuid] = event_set

    def _drain(self, library: Library, uuid: str) -> None:
        """Read what events there are, without waiting."""
        for _ in range(MAX_EVENTS):
            try:
                event = library.nvmlEventSetWait_v2(self._sets[uuid], 0)
            except library.NVMLError as error:
                if code(error) != ERROR_TIMEOUT:
                    self._blind[uuid] = str(error)
                    ask(library, partial(library.nvmlEventSetFree, self._sets.pop(uuid)))
                return
            if event.eventType == EVENT_XID and event.eventData not in OF_APPLICATIONS:
                self._critical.setdefault(uuid, int(event.eventData))
