"""What happened, and where it is told."""
