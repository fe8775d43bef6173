"""How many replicas a model has where Ferryman scales it itself (``spec.scaling``).

What the objectives need is the tuner's word (``core.tuners.needs``); this package says what is
done about it. It must not look for needs of its own: an autoscaler that follows the number that
is told and Ferryman's own scaling are to come to the same.
"""
