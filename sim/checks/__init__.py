"""Contract suites: the laws that every component of a kind keeps, checked on generated worlds."""
