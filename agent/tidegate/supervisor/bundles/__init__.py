"""Bundles that are pushed: taken in by chunks, tried, and kept in one of two slots beside agent.yaml's own."""
