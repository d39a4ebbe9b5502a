"""What a device says about itself: power, heat, memory. Imports nothing of agent/ and is useful alone."""
