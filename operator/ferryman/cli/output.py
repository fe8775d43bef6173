"""What a command answers to programs: JSON or YAML, with the field names of the API."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

#: Of every command that shows something: the wide table has columns that the other leaves out.
FORMATS: Final = ("table", "wide", "json", "yaml")


def data(chosen: str, answer: Mapping[str, Any] | Sequence[Any]) -> bool:
    """Print an answer if it is to be data; return whether it was."""
    if chosen == "json":
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    elif chosen == "yaml":
        # Imported here: tables need it not.
        import yaml  # noqa: PLC0415

        # By way of JSON: what is no plain value would come out with Python's own tags.
        plain = json.loads(json.dumps(answer))
        print(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), end="")
    else:
        return False
    return True
