"""``--price NODETYPE=PRICE``, as several commands take it."""

import argparse


def add_argument(parser: argparse.ArgumentParser, *, words: str) -> None:
    """Add ``--price``; ``words`` follow what it is in the help."""
    parser.add_argument(
        "--price",
        action="append",
        default=[],
        type=price,
        metavar="NODETYPE=PRICE",
        dest="prices",
        help=f"what a node of a type costs per hour{words}",
    )


def price(text: str) -> tuple[str, float]:
    """Return a node type and its price."""
    node_type, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not node_type or not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no NODETYPE=PRICE, for example gpu-a10=1.2")
    return node_type, value
