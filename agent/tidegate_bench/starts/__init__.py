"""How surely, and how soon, an agent that starts gives its first answer."""
