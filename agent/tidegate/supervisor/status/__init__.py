"""What the agent is at one moment, and who is shown it."""
