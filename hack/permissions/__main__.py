"""``python -m hack.permissions [--write]``: hold what tests used against what the chart grants.

The tests that start an API server leave records in build/audit. Without ``--write`` it says where
they, the chart and ``used.json`` differ; with it, ``used.json`` is written anew from the records.
"""

import argparse
import json
import sys

from hack.permissions import compare, uses
from hack.permissions.grants import grants


def main() -> int:
    """Run the command and return its exit status: 1 where something differs."""
    parser = argparse.ArgumentParser(prog="python -m hack.permissions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write used.json from the records")
    write = parser.parse_args().write
    granted, seen = grants(), uses.records()
    if write:
        by = compare.chosen(granted, compare.shown(), seen)
        compare.USED.write_text(json.dumps(by, indent=1) + "\n", encoding="utf-8")
    found = list(compare.faults(granted, compare.shown(), seen))
    print(*found, sep="\n", end="\n" if found else "")
    modules = len({record.module for record in seen})
    print(f"{len(granted.permissions)} permissions, the records of {modules} test modules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
