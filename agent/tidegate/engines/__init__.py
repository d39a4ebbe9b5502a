"""How segments run."""
