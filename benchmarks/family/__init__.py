"""Guarded, and others, on models that nobody wrote a scenario for: a random family of them."""
