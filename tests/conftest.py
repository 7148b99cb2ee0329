"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# How quick this machine is just now is no fact about Trackside: no example has a time limit.
settings.register_profile("trackside", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trackside")
