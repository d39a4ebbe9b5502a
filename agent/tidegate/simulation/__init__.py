"""A simulated device, and policies on it: a day in a second, and the best that could have been done."""
