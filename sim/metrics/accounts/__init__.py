"""Measures of accounts: portfolios and what netting saves."""
