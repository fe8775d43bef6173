"""Generates what types and tables decide: ``crds/``, ``docs/api.md``, ``docs/reference``.

It must not know any field, metric or reason by name: whatever is particular to one is said there.
"""
