"""``--price NODETYPE=PRICE``, as several commands take it."""

import argparse


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
