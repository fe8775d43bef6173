"""Requests to models: the open-loop load generator, its report, and the trace of one request."""
