"""The packed engine: torch with oneDNN's prepacked weights, without a compiler."""
