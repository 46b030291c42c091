"""Populations whose members hold several positions at once (AGT-10)."""
