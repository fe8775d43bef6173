"""Guarded beside who knows the load: the best configuration, and the best one of each phase."""
