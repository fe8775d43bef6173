"""How a pipeline's steps share what they run on: instances, bounds, and the latency budget.

Begin at ``decide``. What lies outside is told in values: nothing here knows Kubernetes, a server
or how a pipeline is executed.
"""
