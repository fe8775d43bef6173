"""What ``ferryman load`` sends, and what the answers are compared with."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ferryman.cli import arguments
from ferryman.cli.errors import InputError
from ferryman.cli.files import arrays
from ferryman.clients import load_inputs
from ferryman.clients.inference import Array, Request, Signature

COMPARISONS: Final = ("labels", "characters")
_ONE_ARRAY: Final = ".npy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what is sent."""
    add, count = parser.add_argument, arguments.whole(1)
    add(
        "--input",
        action="append",
        default=[],
        metavar="FILE",
        help=".npz with an array per input, and `labels`; or NAME=FILE.npy, once for each of them",
    )
    add(
        "--shape",
        action="append",
        default=[],
        type=_shape,
        metavar="NAME=N,N",
        help="of a drawn input, where its model takes more than one (default: 1 for each of these)",
    )
    add("--batch-size", type=count, default=1, metavar="N", help="rows in a request (default: 1)")
    add(
        "--compare",
        **arguments.one_of(COMPARISONS),
        default="labels",
        help="with labels that are texts: whole ones, or the share of characters that is right "
        "(default: labels)",
    )


def check(args: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before a server is asked. Raises InputError."""
    for given in args.input:
        arrays.expect_name("--input", Path(given.partition("=")[2] or given))
    if args.input and args.shape:
        raise InputError("--shape is of drawn inputs: leave it out beside --input")
    if len(args.input) > 1 and any(not _names_an_array(given) for given in args.input):
        raise InputError("--input: one .npz, or NAME=FILE.npy for each input")
    if args.compare == "characters" and not args.input:
        raise InputError("--compare characters: give the texts to be read as `labels` of --input")


def requests(signature: Signature, args: argparse.Namespace) -> Sequence[Request]:
    """Return the requests for a model. Raises InputError, InputInvalid."""
    if not args.input:
        shapes = dict(args.shape)
        return load_inputs.random_requests(signature, args.batch_size, args.seed, shapes)
    found = _from_files(args.input, signature, args.batch_size)
    if args.compare == "characters" and not all(map(_expects_text, found)):
        raise InputError("--compare characters: `labels` must be there, and be texts")
    return found


def _from_files(given: Sequence[str], signature: Signature, rows: int) -> list[Request]:
    if not _names_an_array(given[0]):
        path = Path(given[0])
        return arrays.read(path, lambda file: load_inputs.from_file(file, signature, rows))
    named: Mapping[str, Array] = {
        name: arrays.read(Path(file), load_inputs.read_array)
        for name, _, file in (each.partition("=") for each in given)
    }
    return load_inputs.from_arrays(named, signature, rows)


def _names_an_array(given: str) -> bool:
    return "=" in given and given.endswith(_ONE_ARRAY)


def _expects_text(request: Request) -> bool:
    return request.expected_labels is not None and request.expected_labels.dtype.kind == "U"


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Read NAME=N,N."""
    name, _, sizes = text.rpartition("=")
    whole = arguments.whole(1, 2**31 - 1)
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=N,N, for example page=480,640,3")
    return name, tuple(whole(size) for size in sizes.split(","))
