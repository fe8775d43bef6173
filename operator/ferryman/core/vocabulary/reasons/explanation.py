"""What a reason means, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is the case, and what to do; empty where nothing is to be done."""

    meaning: str
    remedy: str = ""
