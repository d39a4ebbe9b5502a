"""tidegate as a service of this machine: installed, tried, taken back, removed; by Python's own library alone."""
