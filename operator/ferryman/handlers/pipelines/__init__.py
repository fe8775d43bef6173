"""The shell around ``core.pipelines``: gather a snapshot, let it decide, execute the plan."""
