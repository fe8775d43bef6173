"""Which node type a model goes to: filters, policies, rebalancing; begin at ``choose``."""
