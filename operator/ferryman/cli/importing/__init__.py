"""``ferryman import``: what is read, and how what came of it is told."""
