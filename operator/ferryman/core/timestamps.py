"""Moments in the text form that Kubernetes objects carry."""

from datetime import UTC, datetime


def text(moment: datetime) -> str:
    """Return RFC 3339 in UTC with whole seconds, for example ``2026-11-21T13:00:00Z``."""
    # Not strftime, which writes years before 1000 with fewer than four digits.
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def parse(rfc3339: str) -> datetime:
    """Return the moment; a text without a zone is UTC. Raises ValueError when it is none."""
    moment = datetime.fromisoformat(rfc3339)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
