"""How property-based tests run; pytest reads it before any test below this folder."""

from hypothesis import HealthCheck, settings

# By default Hypothesis fails a test one of whose examples takes more than 200 ms, or whose inputs
# are slow to draw. Where other work shares the cores any example can be held up for so long: that
# says something of the machine, and nothing of what is tested. A test that hangs ends by pytest's
# timeout.
settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared-machine")
