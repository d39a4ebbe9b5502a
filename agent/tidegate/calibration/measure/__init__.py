"""Figures of points on this device: shares, latency, energy and bytes."""
