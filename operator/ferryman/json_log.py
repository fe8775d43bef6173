"""Log lines as JSON objects, one a line, on standard error."""

import json
import logging
from datetime import UTC, datetime
from typing import Final

#: What kopf attaches to its records: whole objects, of no use on a line.
_LEFT_OUT: Final = {"settings", "k8s_skip", "k8s_ref"}
_STANDARD: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", *_LEFT_OUT}


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message and every ``extra`` field of a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(level: str = "info", *filters: logging.Filter) -> None:
    """Send our log lines from that level up to standard error, other libraries' from warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    for each in filters:
        handler.addFilter(each)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("ferryman").setLevel(level.upper())
