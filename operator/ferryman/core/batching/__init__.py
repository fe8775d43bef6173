"""Which batching a model has, and how a change of it is made; begin at ``decide``."""
