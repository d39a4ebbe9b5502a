"""What a network is here: segments, gates, precision, ladder, bundle."""
