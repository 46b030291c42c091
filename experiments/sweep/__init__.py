"""Studies as data, and the runner that loses no run."""
