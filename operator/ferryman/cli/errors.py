"""What goes wrong for a person at the command line, and the exit status that it ends with."""

from typing import ClassVar, Final

DONE: Final = 0
#: The answer is no, or what was to be asked does not answer.
FAILED: Final = 1
#: An argument or a file is wrong.
WRONG: Final = 2
NOT_WRITTEN: Final = 5
#: A fault of our own.
BROKEN: Final = 70
#: As a shell counts those that SIGINT and SIGPIPE end.
INTERRUPTED: Final = 130
READER_GONE: Final = 141

#: Of every command; a command says what it has besides, or more exactly.
EXIT_STATUSES: Final = {
    DONE: "it ended as it was asked to",
    FAILED: "it failed: what was to be asked does not answer, or refuses",
    WRONG: "an argument or a file is wrong",
    NOT_WRITTEN: "the output cannot be written: a full disk, a folder that is missing",
    BROKEN: "a fault of Ferryman's own",
    INTERRUPTED: "Ctrl-C",
    READER_GONE: "who read the output (head, less) has gone",
}


class Fault(Exception):  # noqa: N818  what a command ends with
    """Ends a command: the text is what a person reads, ``status`` is the exit status."""

    status: ClassVar[int] = FAILED


class GatherError(Fault):
    """The cluster cannot be read; the text says why and what may help."""


class InputError(Fault):
    """An argument or a file is wrong; the text says which, and what is wrong with it."""

    status = WRONG


class OutputError(Fault):
    """The output cannot be written; the text says where, and why."""

    status = NOT_WRITTEN


class InterruptedFault(Fault):
    """Ctrl-C; the text says what is left behind, if anything is."""

    status = INTERRUPTED


class ReaderGoneError(OutputError):
    """Who read the output has seen enough: that is not worth a word."""

    status = READER_GONE


def why(error: OSError) -> str:
    """Return why the system refused, without numbers and names of Python's."""
    return error.strerror or str(error) or type(error).__name__
