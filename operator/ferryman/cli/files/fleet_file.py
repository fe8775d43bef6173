"""Fleets as files: what ``ferryman place`` reads. See docs/fleet-format.md."""

from pathlib import Path

from pydantic import ValidationError

from ferryman.cli.errors import InputError
from ferryman.cli.files import field_errors, own_file
from ferryman.core.fleet.fleet import Fleet


class FleetError(InputError):
    """A file is no fleet; the text names the file, the field and what is wrong with it."""


def read(path: Path) -> Fleet:
    """Return the fleet in a JSON or YAML file.

    Raises FleetError when the file cannot be read, or a field is malformed or unknown.
    """
    return own_file.read(path, Fleet, FleetError)


def with_more(fleet: Fleet, added: dict[str, int]) -> Fleet:
    """Return the fleet with more nodes of some types, or fewer. Raises FleetError if it cannot."""
    unknown = added.keys() - {kind.name for kind in fleet.node_types}
    if unknown:
        names = ", ".join(kind.name for kind in fleet.node_types)
        raise FleetError(f"--add {min(unknown)}: no such node type, there are {names}")
    kinds = []
    for kind in fleet.node_types:
        more = added.get(kind.name, 0)
        if kind.count + more < 0:
            raise FleetError(f"--add {kind.name}={more}: there are {kind.count} only")
        kinds.append({**kind.as_dict(), "count": kind.count + more})
    try:
        return Fleet.model_validate({"nodeTypes": kinds, "models": fleet.models})
    except ValidationError as error:
        raise FleetError(field_errors.describe("--add", error)) from error
