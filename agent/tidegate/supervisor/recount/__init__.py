"""Certificates counted again on kept frames: after an update of runtime or system, and as the world goes on."""
