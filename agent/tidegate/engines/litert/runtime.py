"""LiteRT's interpreter: the one place that loads it."""

from ai_edge_litert.interpreter import Interpreter

__all__ = ["Interpreter"]
