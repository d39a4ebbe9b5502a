"""What an agent takes of a device while nobody asks it anything."""
