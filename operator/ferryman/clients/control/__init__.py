"""What changes a Triton server: its loads, which are followed to their end."""
