"""Generates what the API types decide: ``crds/`` and ``docs/api.md``.

It must not know any field by name: whatever is particular to a field is said at its type.
"""
