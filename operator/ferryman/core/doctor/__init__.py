"""What is wrong with an installation, and what to do: checks on what a look at a cluster gathered.

It must not ask the cluster anything: what could not be read is said to be unknown.
"""
