"""What the operator and the fetching container have in common: the order, and what is said of it.

The container runs in a tenant's pod, so that what it says is read as anybody's: bounded, and
nothing but known words. It must not know how anything is fetched: ``ferryman.fetch`` does.
"""
