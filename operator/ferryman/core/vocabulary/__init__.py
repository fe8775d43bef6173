"""What the figures and the words that users see mean, and what to do about them: tables.

It must not decide anything: where a metric is set and a reason is given is said elsewhere. The
reference pages under ``docs/reference`` are generated from here.
"""
