"""MLX: Apple Silicon's GPU without torch, and on Linux a CPU backend that runs the same calls."""
