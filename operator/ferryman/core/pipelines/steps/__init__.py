"""What follows for a step from what is stated and seen: its weights, and how long it lets wait."""
