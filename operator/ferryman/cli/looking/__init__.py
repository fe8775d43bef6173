"""Commands that look at what is there and change nothing: doctor, history, nodes, top."""
