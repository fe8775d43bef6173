"""What others wrote, held to bounds before it is parsed or kept.

Nothing here knows what objects are for, and nothing of what is too large is parsed.
"""
