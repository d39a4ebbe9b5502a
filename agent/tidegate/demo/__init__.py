"""The demo: a whole agent, its broker, its client and its operator on one machine."""
