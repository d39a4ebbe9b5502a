"""Policies: the one in force, and those that are pushed."""
