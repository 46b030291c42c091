"""Compiled loss waterfall: the same postings as ``sim.step.plain_waterfall``, by kernels."""
