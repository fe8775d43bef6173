"""What Triton counted, as windows, and whether these met the objectives."""
