"""Files that people write: scenarios, snapshots, fleets, read strictly."""
