"""Frigate's detector: what https://frigate.video asks its detector of type `zmq` for, answered by the worker."""
