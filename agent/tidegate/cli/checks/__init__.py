"""What `tidegate config check` and `tidegate doctor --config` look at, each with the way out."""
