"""Programs that run in serving pods, in Triton's Python stub: sent as text, never called here.

They need what the stub has (the standard library, numpy and Triton's utilities), run on the Python
of any Triton image (3.10 and later), and import nothing of the operator.
"""
