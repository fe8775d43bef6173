"""The error for a specification that only the operator can see to be wrong."""

from ferryman.api.conditions import Reason


class RejectedError(ValueError):
    """The specification asks for what cannot be served; only a person can put it right.

    ``reason`` and the error's text become the Stalled condition word for word. Trying again
    without a change of the specification is of no use.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
