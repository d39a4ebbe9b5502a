"""The one error a bundle's reader sees."""


class BundleError(Exception):
    """A bundle can't be used: the message says where, what was found, and what is allowed."""
