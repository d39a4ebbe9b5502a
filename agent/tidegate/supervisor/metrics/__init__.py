"""The agent's figures for Prometheus."""
