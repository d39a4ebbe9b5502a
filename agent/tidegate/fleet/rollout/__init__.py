"""A push in stages: a few devices first, then more, and an end to it when they fare badly."""
