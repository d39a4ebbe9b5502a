"""The schema of the state directory: migrations of its files, and their way back to an older version."""
