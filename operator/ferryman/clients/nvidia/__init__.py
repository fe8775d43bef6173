"""NVIDIA's management library, and what its XID errors mean."""
