"""Pipelines on a real Triton: what the founding documents promise of them, and what data costs."""
