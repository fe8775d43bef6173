"""`ferryman explain`: why a model or a pipeline is where it is, and as it is."""
