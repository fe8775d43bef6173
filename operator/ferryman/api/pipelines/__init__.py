"""``InferencePipeline``: its specification, its steps and its status, as types."""
