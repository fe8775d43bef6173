"""The operator's shell on kopf: gather a snapshot, let ``core`` decide, execute the plan.

It must not decide: a branch on anything but success or failure of I/O belongs in ``core``.
"""
