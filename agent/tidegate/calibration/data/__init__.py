"""What a ladder is calibrated on: a user's data, its parts, and the digits of the demo."""
