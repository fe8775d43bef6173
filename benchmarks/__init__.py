"""Measurements whose figures stand in the docs; raw results are committed beside them."""
