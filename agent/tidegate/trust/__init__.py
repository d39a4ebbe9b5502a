"""Whose word counts: keys, signed envelopes, and the keys that a device trusts with their roles."""
