"""Studies as configuration, and the runner that makes and stores their runs."""
