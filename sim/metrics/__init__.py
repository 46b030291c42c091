"""Measures of a run: pure functions of recorded frames."""
