"""Kubernetes resource quantities as integers."""

import re
from decimal import Decimal
from functools import lru_cache
from math import ceil

_QUANTITY = re.compile(
    r"^(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?)(?P<suffix>[A-Za-z]*)$"
)
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}


@lru_cache(maxsize=4096)
def parse(quantity: str | int) -> Decimal:
    """Return a quantity in base units (cores, bytes, devices).

    Raises ValueError when it is not a quantity of k8s.io/apimachinery ``resource.Quantity``.
    """
    match = _QUANTITY.match(str(quantity))
    if match is None or match["suffix"] not in _SUFFIXES:
        raise ValueError(f"{quantity!r} is not a quantity: write for example 500m, 2 or 4Gi")
    return Decimal(match["number"]) * _SUFFIXES[match["suffix"]]


@lru_cache(maxsize=4096)
def to_millicores(quantity: str | int) -> int:
    """Return a CPU quantity in thousandths of a core, rounded up as the API server does."""
    return ceil(parse(quantity) * 1000)


@lru_cache(maxsize=4096)
def to_units(quantity: str | int) -> int:
    """Return a quantity in whole base units (bytes, devices), rounded up."""
    return ceil(parse(quantity))
