"""The status of an InferenceModel that this version of the operator cannot read.

The CustomResourceDefinition's schema keeps such objects out; one that was stored under another
schema, or while validation was off, must still not stop the operator.
"""

from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from ferryman.api.conditions import Condition, Reason
from ferryman.core.manifests import Manifest
from ferryman.core.status import conditions
from ferryman.core.status.readiness import NotReady

_MAX_PROBLEMS: Final = 5


def words(error: ValidationError) -> str:
    """Return what is wrong and where, in one line, without the values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    problems = [
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in found[:_MAX_PROBLEMS]
    ]
    more = "" if len(found) <= _MAX_PROBLEMS else f" and {len(found) - _MAX_PROBLEMS} more"
    return f"the object cannot be read: {'; '.join(problems)}{more}"


def is_about_status(error: ValidationError) -> bool:
    """Whether the status itself cannot be read."""
    return any(problem["loc"][:1] == ("status",) for problem in error.errors())


def too_large(why: str) -> str:
    """Return what to say of an object that is not read because of its size, and what to do."""
    return f"{why}: shorten spec.model.config, the labels or the annotations of the object"


def status(
    manifest: Manifest, why: str, now: datetime, *, keep_status: bool = True
) -> dict[str, Any]:
    """Return the status: the model is not ready and stalled, everything else is as it is.

    A status that cannot be read itself is not kept but replaced as a whole: it is our own to write.
    """
    before: Manifest = manifest.get("status", {}) if keep_status else {}
    generation = int(manifest["metadata"].get("generation", 0))
    known = [Condition.model_validate(each) for each in before.get("conditions", ())]
    problem = NotReady(Reason.INVALID_SPEC, why, stalled=True)
    found = conditions.after_problem(known, problem, generation, now)
    told = [condition.as_dict() for condition in found]
    return {**before, "observedGeneration": generation, "conditions": told}
