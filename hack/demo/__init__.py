"""The demo: from nothing to two models placed, served and tuned, on real input."""
