"""Policies: documents, decisions, storage."""
