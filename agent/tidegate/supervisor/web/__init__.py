"""The status page and /metrics over HTTP: for browsers and scrapers, nothing that changes the agent."""
