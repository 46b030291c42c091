"""Mechanisms of the market: what each does to the outcome, and pairs of small markets with it."""
