"""What of kopf's own words reaches the operator's log."""

import logging

from ferryman import json_log


class _OurWords(logging.Filter):
    """Hold back what kopf says of its own end: the supervisor says it in one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is kept."""
        words = record.getMessage()
        return not (record.name.startswith("kopf") and "has failed" in words)


def configure(level: str) -> None:
    """Log as JSON; at level debug, kopf's information as well."""
    json_log.configure(level, _OurWords())
    if level == "debug":
        logging.getLogger("kopf").setLevel(logging.INFO)
