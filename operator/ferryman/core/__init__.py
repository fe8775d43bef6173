"""Every decision, as pure functions on frozen values.

It must not do I/O, read a clock, draw random numbers, log or await: ``now`` and seeds are
arguments, and every decision carries the ``reason`` and ``message`` that users will see.
"""
