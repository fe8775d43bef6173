"""Pipelines on the digital twin: a graph of steps as an ensemble runs it, without a cluster.

Begin at ``twin``, which serves requests; ``balanced_run`` puts the live balancer on it.
"""
