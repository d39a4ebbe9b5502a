"""Quantities with units, as people write them in documents and on command lines."""
