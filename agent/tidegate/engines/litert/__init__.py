"""LiteRT (formerly TensorFlow Lite) with XNNPACK: the small processors' runtime, from the same plan."""
