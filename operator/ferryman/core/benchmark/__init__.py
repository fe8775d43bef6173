"""The reference benchmark: when node types are measured, the Job, and the tables it fills."""
