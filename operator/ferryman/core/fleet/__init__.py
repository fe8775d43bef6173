"""Placing many models at once: the joint problem, its solution, and what each option costs."""
