"""Networks that packages ship with their weights: what their ladders save, and whether they hold."""
