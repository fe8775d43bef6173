"""How much of a text was read right: the character accuracy of OCR, one less the error rate."""

from collections.abc import Sequence


def accuracy(expected: str, found: str) -> float:
    """Return 1 less the edit distance over the expected characters; never below 0.

    White space does not count: where a line is broken or a gap is seen is a matter of layout, not
    of reading. Of an expected text without characters only one without any is right.
    """
    wanted, read = "".join(expected.split()), "".join(found.split())
    if not wanted:
        return float(not read)
    return max(0.0, 1 - edit_distance(wanted, read) / len(wanted))


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many characters must be inserted, deleted or replaced (Levenshtein, 1966).

    Wagner and Fischer's table (1974), a row at a time.
    """
    if one == other:
        return 0
    row = list(range(len(other) + 1))
    for number, left in enumerate(one, start=1):
        diagonal, row[0] = row[0], number
        for place, right in enumerate(other, start=1):
            replaced = diagonal + (left != right)
            diagonal, row[place] = row[place], min(replaced, row[place] + 1, row[place - 1] + 1)
    return row[-1]
