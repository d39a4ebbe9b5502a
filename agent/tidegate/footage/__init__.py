"""Frames that a device keeps for certificates of its own: within a quota, and off unless asked for."""
