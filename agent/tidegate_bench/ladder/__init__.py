"""`tidegate bench ladder` and `calibration`: what gates are worth, and how long a ladder takes to make."""
