"""What serves a model, read from its Deployment and pods."""
