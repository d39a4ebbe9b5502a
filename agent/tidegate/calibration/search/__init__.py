"""How a chain of settings is found on part S: moves, costs and the greedy search."""
