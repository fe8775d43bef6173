"""`ferryman benchmark`: ask for a measurement, follow it, show its curve."""
