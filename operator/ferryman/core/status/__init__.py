"""What is told of a model: conditions, events and figures, in the words of the decisions."""
