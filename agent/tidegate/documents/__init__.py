"""YAML in, values out, and errors that know their line and column."""

from tidegate.documents.kinds import Kind
from tidegate.documents.load import load, read, refuse, validate
from tidegate.documents.parse import Document, parse
from tidegate.documents.problem import WHOLE, DocumentError, Mark, Problem

__all__ = [
    "WHOLE",
    "Document",
    "DocumentError",
    "Kind",
    "Mark",
    "Problem",
    "load",
    "parse",
    "read",
    "refuse",
    "validate",
]
