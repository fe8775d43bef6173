"""NVIDIA's management library: what its GPUs are, how busy they are, and which are out of use."""

from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from ferryman.clients.nvidia import nvml_library, xid
from ferryman.clients.nvidia.nvml_library import (
    ERROR_FUNCTION_NOT_FOUND,
    ERROR_INVALID_ARGUMENT,
    ERROR_NOT_FOUND,
    ERROR_NOT_SUPPORTED,
    MIG_ENABLED,
    Library,
    ask,
    ask_why,
    code,
    out_of_use,
    text,
    unavailable,
)

_GONE: Final = "is no longer listed by NVML: see the node's kernel log; if it was taken out, "
_GONE_ADVICE: Final = "restart the agent's pod, else drain the node and restart it"
_UNKNOWN_PROFILE: Final = "unknown"
_IMPOSSIBLE: Final = "it answers with a number that cannot be"
_MOST_BYTES: Final = 2**50
_ALL: Final = 100
#: A GPU, or a library, that knows no MIG; any other error says nothing of it.
_NO_MIG: Final = frozenset({ERROR_NOT_SUPPORTED, ERROR_FUNCTION_NOT_FOUND})


class NvmlUnavailableError(Exception):
    """NVML cannot be used at all: no library, no driver, no permission."""


@dataclass(frozen=True, slots=True)
class MigProfile:
    """The MIG instances of one profile on one GPU."""

    profile: str
    """For example ``1g.10gb``."""
    memory_bytes: int | None
    """The memory of one instance; None where NVML does not say."""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment; None where NVML does not say."""

    index: int
    uuid: str | None = None
    product: str | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilisation: float | None = None
    """Share of the last sample period in which a kernel ran, 0 to 1; never known under MIG, nor
    where NVML does not say whether MIG is on."""
    mig: bool = False
    """Whether MIG is on; where NVML does not say, this and ``profiles`` are what they were."""
    profiles: tuple[MigProfile, ...] = ()
    """The MIG instances, by profile."""
    unusable: str | None = None
    """Why the GPU must not be used, and what to do; reads on after ``GPU 0 …``."""
    blind: str | None = None
    """Why its XID errors cannot be seen, in NVML's words."""
    memory_unknown: str | None = None
    """Why its memory, or the use of it, is unknown, in NVML's words."""
    utilisation_unknown: str | None = None
    """Why its utilisation is unknown, in NVML's words; MIG apart."""
    reported: tuple[str, ...] = ()
    """XID errors that take nothing out of use, and what to do; each reads on like ``unusable``."""

    @property
    def answers(self) -> bool:
        """Whether it told anything of its use."""
        return self.memory_used_bytes is not None or self.utilisation is not None


class Nvml:
    """Reads all GPUs; starts the library at the first use and again after it failed.

    It remembers each GPU that it saw, so that one that is lost keeps its product and memory, and
    its last answer, for as long as NVML gives no other.
    """

    def __init__(
        self,
        load: Callable[[], Library] | None = None,
        ignored_xids: AbstractSet[int] = frozenset(),
    ) -> None:
        """Begin with nothing known; ``ignored_xids`` are errors that count for nothing."""
        self._load = load or nvml_library.load
        self._library: Library | None = None
        self._known: dict[int, Gpu] = {}
        self._gone: dict[str, Gpu] = {}
        self._last: tuple[Gpu, ...] = ()
        self._last_driver: str | None = None
        self._xids = xid.XidWatch(ignored_xids)

    def gpus(self) -> tuple[Gpu, ...]:
        """Return every GPU there is or was. Raises NvmlUnavailableError when NVML fails."""
        library = self._library or self._start()
        try:
            count = library.nvmlDeviceGetCount()
        except library.NVMLError as error:
            self._stop(library)
            raise NvmlUnavailableError(unavailable(error)) from error
        seen = tuple(self._gpu(library, index) for index in range(count))
        gone = tuple(_out(gpu, _GONE + _GONE_ADVICE) for gpu in self._missing(seen))
        self._last = seen + gone
        return self._last

    def look_anew(self) -> None:
        """Start the library anew where no GPU answered last: what it holds may be of the past."""
        library, gpus = self._library, self._last
        if library is not None and gpus and not any(gpu.answers for gpu in gpus):
            self._stop(library)

    def driver(self) -> str | None:
        """Return the driver's version, or None. Raises NvmlUnavailableError when NVML fails."""
        library = self._library or self._start()
        version, _ = ask(library, library.nvmlSystemGetDriverVersion)
        if version is None:
            return None
        self._last_driver = text(version)
        return self._last_driver

    def last(self) -> tuple[tuple[Gpu, ...], str | None]:
        """Return the GPUs and the driver's version as last told; no GPU where there was none."""
        return self._last, self._last_driver

    def _start(self) -> Library:
        try:
            library = self._load()
        except ImportError as error:
            raise NvmlUnavailableError(f"nvidia-ml-py is not installed: {error}") from error
        try:
            library.nvmlInit()
        except library.NVMLError as error:
            raise NvmlUnavailableError(unavailable(error)) from error
        self._library = library
        return library

    def _stop(self, library: Library) -> None:
        """Forget the library, so that the next reading starts it anew (a reloaded driver)."""
        self._library = None
        self._xids.close(library)
        ask(library, library.nvmlShutdown)

    def _gpu(self, library: Library, index: int) -> Gpu:
        """Read one GPU; one that is out of use is what it was, and why."""
        try:
            handle = library.nvmlDeviceGetHandleByIndex(index)
            product = text(library.nvmlDeviceGetName(handle))
        except library.NVMLError as error:
            return self._judged(library, Gpu(index, unusable=out_of_use(error)))
        answer, _ = ask(library, lambda: library.nvmlDeviceGetUUID(handle))
        uuid = self._known.get(index, Gpu(index)).uuid if answer is None else text(answer)
        gpu = Gpu(index, uuid, product)
        self._xids.watch(library, _key(gpu), handle)
        return self._judged(library, _measured(library, handle, gpu, self._before(gpu)))

    def _missing(self, seen: tuple[Gpu, ...]) -> list[Gpu]:
        """Remember what is there, and return what was there and is not; numbers may have moved."""
        present = {_key(gpu) for gpu in seen}
        self._gone |= {_key(gpu): gpu for gpu in self._known.values()}
        self._gone = {key: gpu for key, gpu in self._gone.items() if key not in present}
        self._known = {gpu.index: gpu for gpu in seen if gpu.product is not None}
        return sorted(self._gone.values(), key=lambda gpu: gpu.index)

    def _before(self, gpu: Gpu) -> Gpu:
        """Return what the GPU was at the last reading, under whatever number; else itself."""
        return next((each for each in self._known.values() if _key(each) == _key(gpu)), gpu)

    def _judged(self, library: Library, gpu: Gpu) -> Gpu:
        """Return the GPU with what is remembered of it and of its XID errors."""
        if gpu.unusable is not None:
            known = self._known.get(gpu.index, gpu)
            gpu = _out(known, gpu.unusable)
        number = self._xids.poll(library, _key(gpu))
        if number is not None:  # that says more than that it does not answer
            return _out(gpu, xid.reason(number))
        reported = tuple(map(xid.reason, self._xids.noted(_key(gpu))))
        return replace(gpu, blind=self._xids.blind(_key(gpu)), reported=reported)


@cache
def shared(ignored_xids: frozenset[int] = frozenset()) -> Nvml:
    """Return the process's one reader: what it remembers outlives the plug-in that asks."""
    return Nvml(ignored_xids=ignored_xids)


def _key(gpu: Gpu) -> str:
    return gpu.uuid or str(gpu.index)


def _measured(library: Library, handle: Any, gpu: Gpu, before: Gpu) -> Gpu:  # noqa: ANN401
    """Return the GPU with its memory, its use, and its MIG instances."""
    memory, lost, no_memory = ask_why(library, lambda: library.nvmlDeviceGetMemoryInfo(handle))
    mig = _mig(library, handle)
    if mig is None:  # the layout stays what it was: another one would be another node type
        gpu = replace(gpu, mig=before.mig, profiles=before.profiles)
    elif mig:
        gpu = replace(gpu, mig=True, profiles=_profiles(library, handle))
    # Under MIG the whole device's utilisation is not defined: NVML refuses, or says 0.
    # Where MIG may be on, the answer tells only whether the GPU is lost.
    rates, also_lost, no_rates = (
        (None, None, None)
        if mig
        else ask_why(library, lambda: library.nvmlDeviceGetUtilizationRates(handle))
    )
    if mig is None:
        rates, no_rates = None, "it does not say whether MIG is on"
    total, used = _bytes(memory, "total"), _bytes(memory, "used", least=0)
    busy = _percent(rates)
    return replace(
        gpu,
        memory_bytes=total,
        memory_used_bytes=None if total is None else used,
        memory_unknown=None if total and used is not None else no_memory or _IMPOSSIBLE,
        utilisation=busy,
        utilisation_unknown=None if mig or busy is not None else no_rates or _IMPOSSIBLE,
        unusable=lost or also_lost,
    )


def _bytes(memory: Any, name: str, least: int = 1) -> int | None:  # noqa: ANN401
    """Return a number of bytes that can be one: some drivers answer with 0, or with all ones."""
    value = getattr(memory, name, None)
    return int(value) if isinstance(value, int) and least <= value < _MOST_BYTES else None


def _percent(rates: Any) -> float | None:  # noqa: ANN401
    value = getattr(rates, "gpu", None)
    return value / 100 if isinstance(value, int) and 0 <= value <= _ALL else None


def _mig(library: Library, handle: Any) -> bool | None:  # noqa: ANN401
    """Return whether MIG is on; None where NVML does not say."""
    try:
        current, _ = library.nvmlDeviceGetMigMode(handle)
    except library.NVMLError as error:
        return False if code(error) in _NO_MIG else None
    return current == MIG_ENABLED


def _profiles(library: Library, handle: Any) -> tuple[MigProfile, ...]:  # noqa: ANN401
    """Return the MIG instances of a GPU, counted by profile."""
    most, _ = ask(library, lambda: library.nvmlDeviceGetMaxMigDeviceCount(handle))
    memory: dict[str, int | None] = {}
    counts: Counter[str] = Counter()
    for index in range(most or 0):
        try:
            instance = library.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except library.NVMLError as error:
            if code(error) in {ERROR_NOT_FOUND, ERROR_INVALID_ARGUMENT}:
                continue  # a place that no instance takes
            return ()
        profile, memory_bytes = _instance(library, instance)
        memory.setdefault(profile, memory_bytes)
        counts[profile] += 1
    return tuple(MigProfile(name, memory[name], counts[name]) for name in sorted(counts))


def _instance(library: Library, handle: Any) -> tuple[str, int | None]:  # noqa: ANN401
    """Return an instance's profile, from a name like ``NVIDIA A100 MIG 1g.5gb``, and memory."""
    name, _ = ask(library, lambda: library.nvmlDeviceGetName(handle))
    memory, _ = ask(library, lambda: library.nvmlDeviceGetMemoryInfo(handle))
    _, marker, profile = ("" if name is None else text(name)).rpartition(" MIG ")
    return (
        profile.strip() if marker else _UNKNOWN_PROFILE,
        _bytes(memory, "total"),
    )


def _out(gpu: Gpu, why: str) -> Gpu:
    """Return what a GPU was, out of use: what was measured of it no longer holds."""
    return replace(
        gpu,
        memory_used_bytes=None,
        utilisation=None,
        memory_unknown=None,
        utilisation_unknown=None,
        unusable=why,
    )
