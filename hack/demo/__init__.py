"""The demo: from nothing to models placed, served and tuned, in three acts on real input."""
