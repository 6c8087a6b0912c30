"""What the parts of MetricsCluster share: line protocol, catalogue, tokens, settings, DC/OS messages.

Everything here is computation on values that are handed in: no I/O, no clock, no logging, no web framework.
"""

__version__ = "0.1.0"
