"""What can go wrong with the API server: whose fault it is, and whether to try again."""

from typing import Literal

Fault = Literal["cluster", "operator", "user"]


class KubernetesError(Exception):
    """A request to the API server did not succeed."""

    #: Whose fault it is: the cluster's (it is not well), the operator's (a request that no API
    #: server would take), or the user's (a rule of the cluster forbids what they ask for).
    fault: Fault = "cluster"

    def __init__(
        self, message: str, *, status: int | None = None, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class TemporaryError(KubernetesError):
    """The API server was not reachable or too busy; trying again later is right."""


class ConflictError(TemporaryError):
    """The object exists, is another one by now, or a field belongs to somebody else."""


class PermanentError(KubernetesError):
    """The API server refused the request; the same request will be refused again."""

    fault: Fault = "operator"


class NotFoundError(PermanentError):
    """The object, its namespace or its kind is not there (any more)."""

    fault: Fault = "user"


class NotOwnedError(PermanentError):
    """An object of the name is there, and belongs to somebody else."""

    fault: Fault = "user"


class ForbiddenError(PermanentError):
    """The operator lacks a permission, or a quota or an admission rule says no."""

    fault: Fault = "user"


def from_status(status: int, message: str, retry_after_s: float = 0.0) -> KubernetesError:
    """Return the error for an answer of the API server that is none of 2xx."""
    if status == 409:  # noqa: PLR2004  HTTP
        return ConflictError(message, status=status)
    if status == 404:  # noqa: PLR2004
        return NotFoundError(message, status=status)
    if status in {401, 403}:
        return ForbiddenError(message, status=status)
    if status == 429 or status >= 500:  # noqa: PLR2004
        return TemporaryError(message, status=status, retry_after_s=retry_after_s)
    return PermanentError(message, status=status)
