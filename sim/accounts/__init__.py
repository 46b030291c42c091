"""Opening accounts: a market that starts from a table of accounts and positions (ACC-1)."""
