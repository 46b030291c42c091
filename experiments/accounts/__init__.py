"""Tables of accounts: reading, and the liquidation map of a table."""
