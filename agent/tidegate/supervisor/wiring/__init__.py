"""The parts of a supervisor, wired together: one file for what serves, what decides and what reports."""
