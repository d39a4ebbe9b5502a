"""Another agent.yaml while the agent serves: read and checked whole, then swapped in."""
