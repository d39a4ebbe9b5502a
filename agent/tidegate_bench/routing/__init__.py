"""`tidegate bench routing-synthetic` and `routing-classification`: the activity routing paper's experiments."""
