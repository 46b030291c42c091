"""Runs, studies and reports: the layer above ``agents`` and ``sim``."""

from experiments import neighbours as _neighbours

if not _neighbours.is_command() and (_found := _neighbours.find_shadowed_packages()):
    raise ImportError("; ".join(_found))
