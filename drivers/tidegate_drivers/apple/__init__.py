"""macOS on Apple Silicon. The calls into the system are behind `System`; never run on a Mac by its authors."""
