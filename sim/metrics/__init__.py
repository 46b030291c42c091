"""Measures: pure functions of recorded frames."""
