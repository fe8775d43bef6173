"""How property-based tests run; pytest reads it before any test below this folder."""

import os

from hypothesis import HealthCheck, settings

# By default Hypothesis fails a test one of whose examples takes more than 200 ms, or whose inputs
# are slow to draw. Where other work shares the cores any example can be held up for so long: that
# says something of the machine, and nothing of what is tested. A test that hangs ends by pytest's
# timeout.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time: what fails was broken by the change that is tested, and the branches
# reached do not vary. `make test-generated` draws others.
settings.register_profile("same", PATIENT, derandomize=True)
settings.register_profile("fresh", PATIENT)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
