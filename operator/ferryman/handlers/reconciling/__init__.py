"""What every reconcile does alike, of whichever kind, and what it works with."""
