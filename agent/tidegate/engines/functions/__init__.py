"""A point as named functions of a runtime's file, and samples taken through them: for Core ML and Core AI."""
