"""What the fetching container says when it ends, in its termination message.

Kubernetes keeps 4096 bytes of it. Whoever reads it knows that a pod wrote it, which may be anyone's
work: only known words, digests and printable text of a bounded length come through.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from ferryman.api.base import printable
from ferryman.api.conditions import Reason

#: Of the Kubernetes API: a longer termination message is cut.
MAX_REPORT_BYTES: Final = 4096
#: A server holds a pipeline's steps at most, so that all their digests fit.
_MAX_MODELS: Final = 40
_MAX_DETAIL: Final = 500


class Problem(StrEnum):
    """Why nothing was fetched, as the container says it."""

    NOT_FOUND = "NotFound"
    FORBIDDEN = "Forbidden"
    MISMATCH = "Mismatch"
    TOO_LARGE = "TooLarge"
    NOT_STORED = "NotStored"
    TOO_SLOW = "TooSlow"
    UNREACHABLE = "Unreachable"
    UNSAFE = "Unsafe"
    MISCONFIGURED = "Misconfigured"


#: Problem -> reason of the condition, and what to do.
REMEDIES: Final[dict[Problem, tuple[Reason, str]]] = {
    Problem.NOT_FOUND: (
        Reason.MODEL_SOURCE_NOT_FOUND,
        "correct storageUri, or put the files there",
    ),
    Problem.FORBIDDEN: (
        Reason.MODEL_SOURCE_FORBIDDEN,
        "correct the Secret that fetch.secretName names, or what the service account may read",
    ),
    Problem.MISMATCH: (
        Reason.MODEL_SOURCE_MISMATCH,
        "find out who changed the files; if that is right, state the new digest in fetch.sha256",
    ),
    Problem.TOO_LARGE: (
        Reason.MODEL_SOURCE_TOO_LARGE,
        "raise fetch.sizeLimit, or name a smaller folder",
    ),
    Problem.NOT_STORED: (
        Reason.MODEL_SOURCE_NOT_STORED,
        "free or repair the disk of the pod's node, or keep to other nodes by spec.placement",
    ),
    Problem.TOO_SLOW: (
        Reason.MODEL_SOURCE_TOO_SLOW,
        "raise fetch.deadlineSeconds, or bring the files closer to the cluster",
    ),
    Problem.UNREACHABLE: (
        Reason.MODEL_SOURCE_UNREACHABLE,
        "correct the address or fetch.caConfigMapName, or let pods connect to it",
    ),
    Problem.UNSAFE: (
        Reason.MODEL_SOURCE_UNSAFE,
        "pack plain files and folders, with paths relative to the model's folder",
    ),
    Problem.MISCONFIGURED: (
        Reason.MODEL_SOURCE_MISCONFIGURED,
        "correct what fetch.secretName and fetch.caConfigMapName name, in the model's namespace",
    ),
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched for one model."""

    into: Annotated[str, Field(max_length=256)]
    """The folder, by which the model is told."""
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    revision: Annotated[str, Field(pattern=r"^[0-9A-Za-z._-]{0,64}$")] = ""
    """Of the hub's repository: the commit; "" elsewhere."""


@dataclass(frozen=True, slots=True)
class FetchReport:
    """How fetching ended: with everything there, or with a problem."""

    fetched: Annotated[tuple[Fetched, ...], Field(max_length=_MAX_MODELS)] = ()
    problem: Problem | None = None
    detail: Annotated[str, Field(max_length=_MAX_DETAIL)] = ""
    """What is the case, without a secret and without what to do."""


_REPORT: Final = TypeAdapter(FetchReport)


def encode_report(report: FetchReport) -> str:
    """Return the termination message; what is too long of the detail is left out."""
    detail = printable(report.detail)
    if len(detail) > _MAX_DETAIL:
        detail = f"{detail[: _MAX_DETAIL - 1]}…"
    brief = FetchReport(report.fetched, report.problem, detail)
    return _REPORT.dump_json(brief, exclude_defaults=True).decode()


def read_report(message: str) -> FetchReport | None:
    """Return what a termination message says; None where it is no report."""
    if len(message) > MAX_REPORT_BYTES:
        return None
    try:
        return _REPORT.validate_json(message)
    except ValueError:
        return None


def explained(problem: Problem, detail: str) -> tuple[Reason, str]:
    """Return the reason of a condition and its message: what is the case, and what to do."""
    reason, remedy = REMEDIES[problem]
    return reason, f"{printable(detail)}: {remedy}"
