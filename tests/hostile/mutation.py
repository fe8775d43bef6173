"""Taking a defence out of a copy of the repository, and running the test that is to notice it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.integration.operator_process import ROOT

#: pytest's status where tests ran and some of them failed.
TESTS_FAILED = 1
TIMEOUT_S = 1200
#: How pytest's words begin where a test says no, rather than cannot go on.
BY_THE_TEST = ("AssertionError", "assert ", "Failed: ")


@dataclass(frozen=True)
class Mutant:
    """A defence that is missing: in each file a text is replaced by another one."""

    file: str
    """Where the replacements are."""
    replaced: tuple[tuple[str, str], ...]
    test: str
    """The test that must fail, as pytest names it."""


def copied(folder: Path) -> Path:
    """Return a copy of all tracked files, and of those that are new."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def apply(mutant: Mutant, copy: Path) -> None:
    """Take the defence out of a copy."""
    path = copy / mutant.file
    text = path.read_text()
    for right, wrong in mutant.replaced:
        assert text.count(right) == 1, f"{mutant.file} has {text.count(right)} times: {right}"
        text = text.replace(right, wrong)
    path.write_text(text)


def failure(mutant: Mutant, copy: Path) -> str:
    """Run the mutant's test in its copy; return why it fails, or nothing where it passes."""
    environment = {**os.environ, "PYTHONPATH": f"{copy / 'operator'}{os.pathsep}{copy}"}
    environment.pop("PYTEST_CURRENT_TEST", None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutant.test],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode == 0:
        return ""
    said = done.stdout[-6000:]
    assert done.returncode == TESTS_FAILED, f"the test did not run: {said} {done.stderr[-1000:]}"
    assert re.search(r"^FAILED ", said, re.MULTILINE), f"it failed before the test began: {said}"
    why = words(said)
    assert why.startswith(BY_THE_TEST), f"something else went wrong: {why}"
    return why


def words(said: str) -> str:
    """Return the first line in which pytest says why."""
    found = re.search(r"^E +(\S.*)$", said, re.MULTILINE)
    return found[1] if found else "it failed"
