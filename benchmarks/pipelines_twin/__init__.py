"""How good the balancing of pipelines is, on the digital twin; begin at ``run``."""
