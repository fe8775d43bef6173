"""What competes in the scenario benchmark: each sees only windows, on the twin and on Triton.

Nothing in here knows the digital twin, and no contender sees the load generator's arrivals.
"""
