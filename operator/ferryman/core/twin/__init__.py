"""The digital twin of Triton's dynamic batcher, and models tuned on it; begin at ``simulation``."""
