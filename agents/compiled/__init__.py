"""Kernels of the populations' decisions in the compiled step."""
