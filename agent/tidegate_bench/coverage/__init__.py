"""Architectures that edge users run, as their libraries give them: how many become graphs that answer alike."""
