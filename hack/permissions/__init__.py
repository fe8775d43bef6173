"""What the installation's roles grant, and what of it tests used by the audit logs."""
