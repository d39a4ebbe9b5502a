"""What certificates of one's own place take in labels, on pictures that are real."""
