"""The second process: the model and its inference endpoint."""
