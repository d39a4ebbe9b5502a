"""A ladder's certificates counted again, on inputs of the place where it answers."""
