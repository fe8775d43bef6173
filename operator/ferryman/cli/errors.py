"""What goes wrong for a person at the command line."""


class GatherError(Exception):
    """The cluster cannot be read; the text says why and what may help."""
