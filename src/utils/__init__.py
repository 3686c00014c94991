"""Data for the network under the course's paths."""

import ann  # noqa: F401 (finds the package mlp)
