"""Pipelines: their graph, what is wrong with one, and how its steps are put on servers."""
