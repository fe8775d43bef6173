"""`ferryman tune`: the command, its options, its journal and what it prints."""
