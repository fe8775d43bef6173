"""Triton's model configuration: the user's overlay, what Ferryman puts on top, the live cap."""
