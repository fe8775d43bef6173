"""The scenario benchmark on a real Triton: the starred scenarios, side by side."""
