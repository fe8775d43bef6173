"""What a model says of its pods and of the nodes that they may run on."""
