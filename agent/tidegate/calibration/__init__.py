"""How a ladder comes to be: search, certification, measurement."""
