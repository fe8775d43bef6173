"""Commands with a time limit, faults of one sentence, and progress on stderr."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

#: Called with what is being done; the default prints it with the time since the start.
Progress = Callable[[str], None]

#: How much of a failed command's output a fault repeats.
TAIL_CHARACTERS = 600
#: How much of its command line.
COMMAND_CHARACTERS = 120

_STARTED_S = time.monotonic()


class ClusterError(Exception):
    """An expected fault: one sentence that says what is missing and what to do."""


def to_stderr(what: str) -> None:
    """Print one line of progress with the seconds since this program started."""
    print(f"[{time.monotonic() - _STARTED_S:6.1f} s] {what}", file=sys.stderr, flush=True)


def run(
    *command: str | Path,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
) -> str:
    """Return the command's standard output, or raise an error that repeats its last words."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            check=False,
            capture_output=True,
            timeout=timeout_s,
            env=None if env is None else dict(env),
            cwd=cwd,
            input=stdin.encode(),
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed: install it or put it on PATH.") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{_brief(words)}` did not finish within {timeout_s:.0f} s.") from error
    if done.returncode:
        raise ClusterError(f"`{_brief(words)}` failed: {_tail(done.stderr or done.stdout)}")
    return done.stdout.decode(errors="replace")


def succeeds(
    *command: str | Path, timeout_s: float = 10, env: Mapping[str, str] | None = None
) -> bool:
    """Tell whether the command exists and exits with 0 in time."""
    try:
        run(*command, timeout_s=timeout_s, env=env)
    except ClusterError:
        return False
    return True


def wait_until(
    condition: Callable[[], bool], *, timeout_s: float, what: str, poll_s: float = 0.2
) -> None:
    """Poll until the condition holds, or raise a `ClusterError` naming what did not happen."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not happen within {timeout_s:.0f} s.")
        time.sleep(poll_s)


def with_path(env: Mapping[str, str], *folders: Path) -> dict[str, str]:
    """Return the environment with the folders first on PATH."""
    path = [str(folder) for folder in folders] + [env.get("PATH", os.defpath)]
    return {**env, "PATH": os.pathsep.join(path)}


def _brief(words: Sequence[str]) -> str:
    return textwrap.shorten(" ".join(words), COMMAND_CHARACTERS)


def _tail(output: bytes) -> str:
    text = output.decode(errors="replace").strip()
    return text[-TAIL_CHARACTERS:] or "it printed nothing."
