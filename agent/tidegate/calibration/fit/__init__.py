"""What is fitted to data: stand-ins, exit heads, ranges of activations and thresholds."""
