"""What keeps a decision from being applied that no decision can foresee, in words."""

from ferryman.api.conditions import Reason
from ferryman.core.status.readiness import NotReady


def name_taken(kind: str, name: str) -> NotReady:
    """Return the problem that an object of a name that is to be ours is somebody else's."""
    message = f"{kind} {name} exists and is not Ferryman's: rename the model, or remove that object"
    return NotReady(Reason.NAME_TAKEN, message, stalled=True)


def apply_refused(words: str) -> NotReady:
    """Return the problem that the API server refuses an object for good, in its own words."""
    message = f"the API server refuses an object that is to serve the model: {words}"
    return NotReady(Reason.APPLY_REFUSED, message, stalled=True)
