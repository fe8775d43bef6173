"""What a variant of a model is worth: how accurate it is, how fast, and whether it serves."""
