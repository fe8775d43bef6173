"""Figures in words, as messages have them."""


def rounded(number: float) -> str:
    """Return a number with two figures, so that words do not change while little does."""
    short = f"{number:.2g}"
    return f"{float(short):.0f}" if "e+" in short else short
