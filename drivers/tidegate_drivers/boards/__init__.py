"""Boards: what only their own firmware or meters know."""
