"""From a network and data to a ladder and its bundle."""
