"""The digital twin of Triton's dynamic batcher, one module a rule; begin at ``queueing``."""
