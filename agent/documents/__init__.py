"""YAML in, values out, and errors that know their line and column."""

from agent.documents.load import load, read, refuse, validate
from agent.documents.parse import Document, parse
from agent.documents.problem import DocumentError, Mark, Problem

__all__ = ["Document", "DocumentError", "Mark", "Problem", "load", "parse", "read", "refuse", "validate"]
