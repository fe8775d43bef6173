"""Ferryman places Triton models on the best node type and tunes their batching live."""

__version__ = "0.1.0"
