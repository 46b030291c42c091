"""Figures, tables and report of a result, made again from its files alone."""
