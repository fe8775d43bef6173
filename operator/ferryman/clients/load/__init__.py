"""The open-loop load generator: arrivals, targets, sending and the report."""
