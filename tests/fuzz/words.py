"""What a reader says of what it refuses."""


def said(words: str) -> None:
    """Check that a person reads a reason, and no traceback."""
    assert words
    assert "Traceback" not in words
