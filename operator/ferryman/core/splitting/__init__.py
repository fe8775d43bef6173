"""Where a model is cut into steps: what may be cut, what crosses there, and the best choice.

Knows operations and the tensors between them, not the format that they are stored in.
"""
