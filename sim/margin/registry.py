"""Registries of a margin engine's parts: name in a configuration -> class.

The packages that hold the classes fill them.
"""

from sim.component import Component

NETTINGS: dict[str, type[Component]] = {}
VALUATIONS: dict[str, type[Component]] = {}
REQUIREMENTS: dict[str, type[Component]] = {}
MODELS: dict[str, type[Component]] = {}
"""Models of returns, for the requirement ``tail``."""
