"""Policy documents: from YAML, in layers, to the frozen Policy."""

from agent.policy.schema.document import PolicyDocument
from agent.policy.schema.layers import Layered, load_layers, load_policy

__all__ = ["Layered", "PolicyDocument", "load_layers", "load_policy"]
