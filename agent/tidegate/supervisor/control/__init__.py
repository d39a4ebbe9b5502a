"""Deciding: the control loop, and what it remembers and sets."""
