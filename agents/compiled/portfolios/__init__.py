"""Kernels of the compiled step for types whose members hold several positions."""
