"""Runs, studies and reports: the layer above ``agents`` and ``sim``."""

from experiments import neighbours as _neighbours

if not _neighbours.is_command() and (_found := _neighbours.strangers()):
    raise ImportError("; ".join(_found))
