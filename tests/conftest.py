"""Settings that all tests share."""

from hypothesis import settings

pytest_plugins = ["storeapp", "apiserver", "natsfeed"]

# A failing example found on one machine must fail on the next: no random seeds, no deadline on a busy machine.
settings.register_profile("metricscluster", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("metricscluster")
