"""The node agent: discovers processors, samples utilisation, publishes the NodeProfile.

It must not write anything but its own node's profile, and must not know the operator.
"""
