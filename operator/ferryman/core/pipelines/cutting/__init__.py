"""Whether steps are cut off for speed: what was measured, what that predicts, and what came of it.

It changes nothing itself: ``service`` renders what this decides on.
"""
