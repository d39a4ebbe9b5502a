"""How tidegate draws: one style for the status page and for reports that are files."""
