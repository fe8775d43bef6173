"""The command line: ``ferryman …``, which is also ``kubectl ferryman …``.

It must not decide anything itself: it gathers like the operator does and prints what ``core``
decided.
"""
