"""What an operating point means for any engine: ways through the network, and quantization parameters."""
