"""Whom an agent has to do with on other machines, and whether its unit lets it."""
