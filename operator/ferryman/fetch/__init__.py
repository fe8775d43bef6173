"""The program that fetches models' files, in an init container of serving pods.

It runs from Ferryman's image with the rights of a tenant's pod, and no more. It must not know
Kubernetes or Triton: its tasks come by an environment variable, and what it says goes into the
container's termination message. What is bounded, safe or said is decided in ``core.fetching``.
"""
