"""The reference benchmark's measurement: a closed loop of requests, with confidence intervals."""
