"""Registries of the parts of a margin engine: name in a configuration -> class.

The packages that hold the classes fill them.
"""

from sim.component import Component

NETTINGS: dict[str, type[Component]] = {}
VALUATIONS: dict[str, type[Component]] = {}
REQUIREMENTS: dict[str, type[Component]] = {}
MODELS: dict[str, type[Component]] = {}
"""Models of returns, used by the requirement ``tail``."""
