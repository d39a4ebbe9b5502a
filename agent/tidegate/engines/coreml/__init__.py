"""Core ML: packages for Apple's compute units, written on any machine; not run on hardware yet."""
