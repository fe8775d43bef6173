"""What a pipeline and its steps did, as status and command line show it."""
