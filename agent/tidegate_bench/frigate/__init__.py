"""Frigate's detector through policy switches, kills and hand-overs: `tidegate bench frigate`."""
