"""The one way out to a terminal: nothing but printable text, and faults in our own words.

Names of nodes and processors, and messages of servers, are anybody's words. What would move the
cursor, colour the screen or turn the direction of writing is shown as its escape instead.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ferryman.api.base import printable
from ferryman.cli.errors import Fault, OutputError, ReaderGoneError, why

#: Wide enough for every table, where the output is no terminal and COLUMNS does not say.
PLAIN_WIDTH: Final = 240
LEAST_WIDTH: Final = 20


class _Stream:
    """Standard output or error, with faults that say what cannot be written."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        with self._writing():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._writing():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever else a stream has
        return getattr(self._stream, name)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError as error:
            raise ReaderGoneError(f"{self._name}: nobody reads it any more") from error
        except OSError as error:
            raise OutputError(f"{self._name} cannot be written: {why(error)}") from error


class Screen(_Stream):
    """What is printed: text that is not printable becomes so."""

    def write(self, text: str) -> int:
        """Write printable text. Raises OutputError."""
        return super().write(printable(text))

    @property
    def coloured(self) -> _Stream:
        """The same for who sends colours, and has made the text printable itself."""
        return _Stream(self._stream, self._name)


class _PrintableConsole(Console):
    """Makes each piece of text printable before it is measured against its column."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)


def console(*, stderr: bool = False) -> Console:
    """Return where tables go: as wide as the terminal or COLUMNS says, else wide enough for all."""
    stream: Any = sys.stderr if stderr else sys.stdout
    file: Any = stream.coloured if isinstance(stream, Screen) else stream
    return _PrintableConsole(file=file, width=_width(stream), highlight=False)


def _width(stream: TextIO) -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns):
        return max(LEAST_WIDTH, int(columns))
    if not stream.isatty():
        return PLAIN_WIDTH
    return max(LEAST_WIDTH, shutil.get_terminal_size().columns)


def say(command: str, message: str) -> None:
    """Tell a person something besides the output: on standard error, with the command's name."""
    for line in message.splitlines():
        print(f"ferryman {command}: {line}" if command else f"ferryman: {line}", file=sys.stderr)
    sys.stderr.flush()


@contextmanager
def screens() -> Iterator[None]:
    """Let everything that is printed meanwhile go through screens."""
    before = sys.stdout, sys.stderr
    sys.stdout = _screen(sys.stdout, 1, "standard output")
    sys.stderr = _screen(sys.stderr, 2, "standard error")
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _screen(stream: TextIO | None, descriptor: int, name: str) -> Any:  # noqa: ANN401  for sys
    if stream is None:
        # It was closed before we began: to write there fails, and no other file gets its number.
        os.dup2(os.open(os.devnull, os.O_RDONLY), descriptor)
        stream = os.fdopen(descriptor, "w", encoding="utf-8")
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        # A terminal that knows few characters gets escapes for the others.
        reconfigure(errors="backslashreplace")
    return Screen(stream, name)


def abandon() -> None:
    """Leave standard output and error be: what is still to be written to them goes nowhere.

    The interpreter's own flush at exit must not fail again.
    """
    for stream in (sys.stdout, sys.stderr):
        # Tests may have put something without a descriptor in their place.
        with suppress(OSError, ValueError, AttributeError):
            try:
                stream.flush()
            except Fault:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
