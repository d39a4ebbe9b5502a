"""Policy documents: from YAML, in layers, to the frozen Policy."""

from tidegate.policy.schema.document import PolicyDocument
from tidegate.policy.schema.layers import Layered, load_layers, load_policy

__all__ = ["Layered", "PolicyDocument", "load_layers", "load_policy"]
