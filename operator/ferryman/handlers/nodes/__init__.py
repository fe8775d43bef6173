"""What the operator finds out about nodes beyond what its watches tell. It decides nothing."""
