"""Core AI, Apple's runtime of macOS 27; on Linux its reference executor runs the same assets."""
