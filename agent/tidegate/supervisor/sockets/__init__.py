"""The sockets that the agent listens on."""
