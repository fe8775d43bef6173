"""What keeps tenants apart: fair shares of what the operator does, and whose a pod really is."""
