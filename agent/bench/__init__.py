"""Every published figure."""
