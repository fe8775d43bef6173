"""Carry changes of batching out on running Tritons: for the operator and `ferryman tune`."""
