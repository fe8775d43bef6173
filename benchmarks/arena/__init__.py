"""The scenario benchmark on the digital twin: every contender in every scenario, side by side."""
