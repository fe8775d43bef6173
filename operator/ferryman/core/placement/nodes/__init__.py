"""What a node is, lets in and can give, whatever is asked of it."""
