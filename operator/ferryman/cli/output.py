"""What a command answers to programs: JSON or YAML, with the field names of the API."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ferryman.api.base import printable

#: Of every command that shows something: the wide table has columns that the other leaves out.
FORMATS: Final = ("table", "wide", "json", "yaml")
#: Readers of YAML differ in what is a number or a truth: 1e3, 0o17, 1_000, 1:30, .5, y.
_NOT_TEXT_TO_ALL: Final = re.compile(r"[-+.]?[0-9]|[-+]?\.(inf|nan)|[yn]\Z", re.IGNORECASE)
#: Of what makes manifests.
DATA: Final = ("yaml", "json")


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


def documents(chosen: str, manifests: Sequence[Mapping[str, Any]]) -> None:
    """Print objects as kubectl reads them: documents of YAML, or one JSON object or list.

    Text that another reader of YAML may take for something else is in quotes, and what would be
    shown as an escape is written as one.
    """
    if chosen == "json":
        several = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        data("json", manifests[0] if len(manifests) == 1 else several)
        return
    # Imported here: tables need it not.
    import yaml  # noqa: PLC0415

    class Dumper(yaml.SafeDumper):
        """Quotes what others may not read as text, and knows no aliases."""

        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
            return True

    def quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = '"' if _NOT_TEXT_TO_ALL.match(text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, quoted)
    layout: dict[str, Any] = {"sort_keys": False, "default_flow_style": None, "width": 100}
    for index, manifest in enumerate(manifests):
        said = yaml.dump(manifest, Dumper=Dumper, allow_unicode=True, **layout)
        if printable(said) != said:
            said = yaml.dump(manifest, Dumper=Dumper, **layout)
        print(f"---\n{said}" if index else said, end="")
