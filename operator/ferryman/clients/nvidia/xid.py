"""XID errors: what a driver reports of a GPU that went wrong, as NVML's events.

Each GPU has an event set of its own, so that an event tells its GPU even when the GPU no longer
answers. Only events after the registration are seen. What the numbers mean and ask for is in
``xid_catalogue``.
"""

from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Final

from ferryman.clients.nvidia.nvml_library import ERROR_TIMEOUT, EVENT_XID, Library, ask, code
from ferryman.clients.nvidia.xid_catalogue import (
    HARMLESS,
    NOTED,
    OF_APPLICATIONS,
    reason,
)

__all__ = ["HARMLESS", "NOTED", "OF_APPLICATIONS", "XidWatch", "reason"]

#: At most so many events of one GPU are taken in at once: sampling must not block.
MAX_EVENTS: Final = 64
#: So many kinds of errors that take nothing out are remembered of a GPU.
MAX_NOTED: Final = 4


class XidWatch:
    """Remembers the XIDs of each GPU that say something for as long as the process lives.

    NVML does not say when a GPU is well again: after a reset the agent's pod is started anew.
    """

    def __init__(self, ignored: AbstractSet[int] = frozenset()) -> None:
        """Begin with nothing seen; what is ``ignored`` is as if it had not happened."""
        self._passed_over = OF_APPLICATIONS | HARMLESS | ignored
        self._sets: dict[str, Any] = {}
        self._critical: dict[str, int] = {}
        self._noted: dict[str, tuple[int, ...]] = {}
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

    def noted(self, uuid: str) -> tuple[int, ...]:
        """Return the XIDs that take nothing out and ask something of a person all the same."""
        return self._noted.get(uuid, ())

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
            if event.eventType == EVENT_XID:
                self._take(uuid, int(event.eventData))

    def _take(self, uuid: str, xid: int) -> None:
        if xid in self._passed_over:
            return
        if xid not in NOTED:
            self._critical.setdefault(uuid, xid)
        elif xid not in self.noted(uuid):
            self._noted[uuid] = (*self.noted(uuid), xid)[-MAX_NOTED:]
