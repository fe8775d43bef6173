"""``docs/reference/reasons.md``: every reason, what it means and what to do about it."""

from collections.abc import Mapping
from typing import Final

from ferryman.core.vocabulary.reasons import SECTIONS
from ferryman.core.vocabulary.reasons.explanation import Explanation

_INTRODUCTION: Final = """\
<!-- Generated from core/vocabulary/reasons by `python -m hack.generate`; do not edit. -->

# Reasons

Conditions, events, candidates, decisions and faults carry a reason, one word, and a message, which
says what is the case of this very object. Here is what each word means of any. Where nothing stands
under *what to do*, nothing is to be done.
"""
_HEAD: Final = "| reason | what it means | what to do |\n|---|---|---|\n"


def reasons_reference() -> str:
    """Return the whole document."""
    return "\n".join([_INTRODUCTION, *(_section(*section) for section in SECTIONS.items())])


def _section(title: str, reasons: Mapping[str, Explanation]) -> str:
    rows = (f"| `{word}` | {each.meaning} | {each.remedy} |\n" for word, each in reasons.items())
    return f"## {title}\n\n{_HEAD}{''.join(rows)}"
