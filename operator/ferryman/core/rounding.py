"""How figures are rounded that statuses tell."""

from typing import Final

#: What was measured is told with so many: more would be noise, and a write for each window.
SIGNIFICANT_DIGITS: Final = 3


def significant(value: float) -> float:
    """Return a figure with as many digits as are told."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
