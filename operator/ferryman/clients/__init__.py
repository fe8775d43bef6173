"""Adapters to what is outside: the Kubernetes API, Triton, NVML.

One small Protocol and one implementation each. They must not decide anything and must not
know ``core``: they speak the vocabulary of ``api``.
"""
