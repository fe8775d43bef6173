"""Which placements are valid, so that nodes need not be compared for them again.

When one is, is decided in ``core.placement.validity``.
"""

from ferryman.api.inference_model import InferenceModel
from ferryman.api.resources import Key
from ferryman.core.placement.validity import Compared


class PlacementCache:
    """The placements that were found by comparing nodes."""

    def __init__(self) -> None:
        self._epoch = 0
        self._compared: dict[Key, Compared] = {}

    @property
    def epoch(self) -> int:
        """Counts what no placement outlasts: changes of nodes, profiles and runtimes."""
        return self._epoch

    def invalidate(self) -> None:
        """Have every placement compared again."""
        self._epoch += 1

    def note(self, model: InferenceModel, compared: Compared) -> None:
        """Take note of a placement that was found by comparing the nodes."""
        self._compared[model.key] = compared

    def valid(self, model: InferenceModel, now_s: float, *, waiting: bool) -> bool:
        """Whether the model's placement would come out as it is."""
        known = self._compared.get(model.key)
        return known is not None and known.is_valid(model, self._epoch, now_s, waiting=waiting)

    def forget(self, key: Key) -> None:
        """Forget a model that is gone."""
        self._compared.pop(key, None)
