"""A whole simulated pod around the queue model, and models tuned on it; begin at ``simulation``."""
