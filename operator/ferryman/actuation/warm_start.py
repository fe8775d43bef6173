"""Measure a model's service times on a pod that no client asks: what Triton counts of batches.

Requests of one whole batch at a time, as many at once as there are instances. How long they take
from here does not matter, so that neither does the network. As soon as anybody else asks it ends.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.statistics import Statistics
from ferryman.clients.drawn_requests import DrawnRequests
from ferryman.clients.inference import Tensor
from ferryman.clients.triton import InferenceRefused, TritonServer, TritonUnavailable
from ferryman.core.batching import warm_start
from ferryman.core.batching.warm_start import LIMIT_S, CurveMeasurement, Finding
from ferryman.core.errors import RejectedError
from ferryman.core.observation.counters import continues, increase
from ferryman.core.triton.drawn_inputs import drawn_inputs

#: For so long nobody may ask before it begins.
QUIET_S: Final = 1.0
#: Each size is run at least so often …
LEAST_ROUNDS: Final = 4
#: … at most so often …
MOST_ROUNDS: Final = 16
#: … and no longer than this, once it was run often enough.
SIZE_S: Final = 1.0
#: Triton counts a batch moments after it answered: it is asked so often …
_LOOKS: Final = 10
#: … every so many seconds.
_LOOK_S: Final = 0.02
#: An answer that was waited for until there is no more time left than this is late.
_LATE_S: Final = 0.5


async def measure(
    server: TritonServer, measurement: CurveMeasurement, model: str, seconds: Callable[[], float]
) -> Finding:
    """Return what was measured, and why not more; ``seconds`` is a clock that never jumps."""
    sweep = _Sweep(server, measurement, seconds, seconds() + LIMIT_S)
    try:
        await sweep.run(model)
    except _EndedError as end:
        return Finding(sweep.times, end.reason, str(end))
    except InferenceRefused as refusal:
        return Finding(sweep.times, Reason.REQUESTS_REFUSED, sweep.about(str(refusal)))
    except TritonUnavailable as error:
        late = sweep.left_s() < _LATE_S
        reason = Reason.TIME_UP if late else Reason.TRITON_UNREACHABLE
        words = f"{LIMIT_S:.0f} s were over" if late else str(error)
        return Finding(sweep.times, reason, sweep.about(words))
    return Finding(sweep.times)


class _EndedError(Exception):
    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class _Sweep:
    server: TritonServer
    measurement: CurveMeasurement
    seconds: Callable[[], float]
    deadline_s: float
    times: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Batch size -> batches that ran, and their mean time in milliseconds."""
    _base: Statistics = field(init=False)
    """Before anything was sent."""
    _sent: int = field(default=0, init=False)
    _size: int = field(default=0, init=False)
    """What is being run; 0 before the first."""

    def left_s(self) -> float:
        """Return how long it may still take."""
        return self.deadline_s - self.seconds()

    def about(self, words: str) -> str:
        """Return words with the batch size that they are about."""
        return f"batches of {self._size}: {words}" if self._size else words

    async def run(self, model: str) -> None:
        """Measure all sizes, ascending."""
        requests = await self._requests(model)
        sizes = warm_start.sizes(self.measurement, requests.row_bytes)
        self._base = await self.server.statistics()
        await asyncio.sleep(QUIET_S)
        await self._counted()
        for size in sizes:
            await self._measure(size, requests.message(size))
        if not sizes or sizes[-1] < self.measurement.largest:
            words = f"no more than {warm_start.MAX_SENT_BYTES >> 20} MiB are sent at once"
            raise _EndedError(Reason.REQUESTS_TOO_LARGE, words)

    async def _requests(self, model: str) -> DrawnRequests:
        config = await self.server.configuration()
        try:
            inputs = drawn_inputs(config)
            tensors = [Tensor(each.name, each.datatype, each.dims) for each in inputs]
            return DrawnRequests(model, tensors)
        except RejectedError as error:
            raise _EndedError(error.reason, str(error)) from error
        except ValueError as error:
            raise _EndedError(Reason.INPUTS_UNKNOWN, str(error)) from error

    async def _measure(self, size: int, request: bytes) -> None:
        """Run batches of one size; the first ones are not like those that follow."""
        self._size = size
        before = await self._round(request)
        begun_s, rounds, after = self.seconds(), 0, before
        while rounds < LEAST_ROUNDS or (rounds < MOST_ROUNDS and self.seconds() - begun_s < SIZE_S):
            after, rounds = await self._round(request), rounds + 1
        ran = increase(before, after).batches
        self.times |= {each: (n, ns / n / 1e6) for each, (n, ns) in ran.items()}

    async def _round(self, request: bytes) -> Statistics:
        """Send a request to each instance, and return what was counted after the answers."""
        if self.left_s() <= 0:
            raise TritonUnavailable("time is up")
        count = self.measurement.instances
        asked = (self.server.infer(request, within_s=self.left_s()) for _ in range(count))
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
        self._sent += count
        return await self._counted()

    async def _counted(self) -> Statistics:
        """Return the counters with all that was sent; whatever else they show is a client's."""
        for _ in range(_LOOKS):
            shown = await self.server.statistics()
            if continues(self._base, shown):
                ended = increase(self._base, shown).ended
                if ended > self._sent or shown.pending:
                    words = "clients sent requests, from which service times are learned as well"
                    raise _EndedError(Reason.CLIENTS_ASK, words)
                if ended == self._sent:
                    return shown
            elif not self._sent:
                self._base = shown
            await asyncio.sleep(_LOOK_S)
        if continues(self._base, shown):
            return shown
        words = "the model was loaded anew meanwhile, or its metrics page could not be read"
        raise _EndedError(Reason.MEASUREMENT_INTERRUPTED, words)
