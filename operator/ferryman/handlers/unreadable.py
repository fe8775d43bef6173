"""The status of an InferenceModel that this version of the operator cannot read.

The CustomResourceDefinition's schema keeps such objects out; one that was stored under another
schema, or while validation was off, must still not stop the operator.
"""

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from ferryman.api.base import shorten
from ferryman.api.conditions import ConditionType, Reason
from ferryman.core import timestamps
from ferryman.core.manifests import Manifest

_MAX_PROBLEMS = 5


def words(error: ValidationError) -> str:
    """Return what is wrong and where, in one line, without the values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    problems = [
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in found[:_MAX_PROBLEMS]
    ]
    more = "" if len(found) <= _MAX_PROBLEMS else f" and {len(found) - _MAX_PROBLEMS} more"
    return f"the object cannot be read: {'; '.join(problems)}{more}"


def status(manifest: Manifest, error: ValidationError, now: datetime) -> dict[str, Any]:
    """Return the status: the conditions Ready and Stalled anew, everything else as it is.

    A status that cannot be read itself is replaced as a whole: it is our own to write.
    """
    ours = any(problem["loc"][:1] == ("status",) for problem in error.errors())
    before: Manifest = {} if ours else manifest.get("status", {})
    generation = int(manifest["metadata"].get("generation", 0))
    known = {condition["type"]: condition for condition in before.get("conditions", ())}
    message = str(shorten(words(error)))
    found = {ConditionType.READY: "False", ConditionType.STALLED: "True"}
    conditions = [
        _dated(known.get(kind), kind, state, message, generation=generation, now=now)
        for kind, state in found.items()
    ]
    kept = [c for c in known.values() if c["type"] not in {*found, ConditionType.RECONCILING}]
    return {**before, "observedGeneration": generation, "conditions": [*conditions, *kept]}


def _dated(
    before: Manifest | None,
    kind: ConditionType,
    state: str,
    message: str,
    *,
    generation: int,
    now: datetime,
) -> dict[str, Any]:
    same = before is not None and before["status"] == state
    return {
        "type": str(kind),
        "status": state,
        "reason": str(Reason.INVALID_SPEC),
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"]
        if before and same
        else timestamps.text(now),
    }
