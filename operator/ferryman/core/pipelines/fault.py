"""One thing that is wrong with a pipeline: what, where, and what to do."""

import difflib
from collections.abc import Collection
from dataclasses import dataclass

from ferryman.api.base import printable
from ferryman.api.conditions import Reason
from ferryman.api.pipelines.inference_pipeline_status import MOST_FAULTY_NAME, FaultStatus
from ferryman.core.pipelines.graph import listed

#: As many names as a sentence can bear.
_MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class PipelineFault:
    """A fault that only a person can put right; the message names step, tensor and remedy."""

    reason: Reason
    message: str
    step: str | None = None
    """Where it is to be put right; None: in the inputs or outputs of the pipeline."""
    tensor: str | None = None
    """None where the whole step is meant."""

    def as_status(self) -> FaultStatus:
        """Return the entry of ``status.faults``."""
        # A model may call its tensors whatever it likes, and at any length.
        tensor = None if self.tensor is None else printable(self.tensor)[:MOST_FAULTY_NAME]
        return FaultStatus(reason=self.reason, step=self.step, tensor=tensor, message=self.message)


def advice(name: str, known: Collection[str], what: str) -> str:
    """Return which name may have been meant, or which there are."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    few = sorted(known)[:_MOST_NAMES]
    more = f" and {len(known) - len(few)} more" if len(known) > len(few) else ""
    return f"{what} {', '.join(few)}{more}" if more else f"{what} {listed(few)}"
