"""Rebalancing: now and then all models that asked for it are placed anew together.

Which ones should move is decided in ``core.placement.rebalancing``, in an executor; each move is
then one model's own reconcile, which applies its Deployment with the new node type: the old pods
serve until the new ones are ready.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from pydantic import ValidationError

from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.resources import INFERENCE_MODEL, Key
from ferryman.core.placement import rebalancing
from ferryman.core.placement.rebalancing import Participant
from ferryman.core.snapshot import Advice
from ferryman.handlers.cache import Cache
from ferryman.handlers.gather import Nodes
from ferryman.handlers.reconciling.common import Clocks, RunInExecutor

_log = logging.getLogger(__name__)

PERIOD_S: Final = 300.0


class Rebalancing:
    """What models are advised to move, until they have moved or the next poll."""

    def __init__(
        self,
        cache: Cache,
        nodes: Nodes,
        clocks: Clocks,
        *,
        run_in_executor: RunInExecutor,
        wake: Callable[[Key], None],
    ) -> None:
        """Prepare to advise; ``wake`` is called with the key of each model that should move."""
        self._cache = cache
        self._nodes = nodes
        self._clocks = clocks
        self._run_in_executor = run_in_executor
        self._wake = wake
        self._advice: Mapping[Key, Advice] = {}

    def advice(self, key: Key) -> Advice | None:
        """Return where a model should go, if anywhere."""
        return self._advice.get(key)

    async def run(self) -> None:
        """Poll until cancelled; what fails is tried again at the next poll."""
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                await self.poll()
            except Exception:  # noqa: BLE001  logged with its trace; the next poll may succeed
                _log.exception("the look at all placements failed")

    async def poll(self) -> None:
        """Place all participants anew, on paper, and wake those that should move."""
        now = self._clocks.now()
        participants = [one for one in self._all() if rebalancing.takes_part(one.model, now)]
        if not participants:
            self._advice = {}
            return
        keys = {one.model.key for one in participants}
        nodes = self._nodes.views(keys, self._clocks.seconds())
        decide = partial(rebalancing.advise, participants, nodes, now)
        self._advice = await self._run_in_executor(decide)
        _log.info(
            "all placements were looked at",
            extra={"models": len(participants), "moves": len(self._advice)},
        )
        for key in self._advice:
            self._wake(key)

    def _all(self) -> list[Participant]:
        found = []
        for key in sorted(self._cache.subject_keys(INFERENCE_MODEL.kind)):
            model = self._model(key)
            runtime = self._cache.runtime(model.spec.runtime_ref.name) if model else None
            parsed = None if runtime is None else self._cache.parse(InferenceRuntime, runtime)
            if model is not None and parsed is not None:
                found.append(Participant(model, parsed))
        return found

    def _model(self, key: Key) -> InferenceModel | None:
        manifest = self._cache.subject(key)
        try:
            return None if manifest is None else InferenceModel.model_validate(manifest)
        except ValidationError:
            # Its own reconcile says so in its status.
            return None
