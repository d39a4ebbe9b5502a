"""What of an engine is a device's: which there are, trials, caches, memory and threads."""
