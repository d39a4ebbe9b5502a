"""What an operating point means for any engine: execution plan, arithmetic, quantization parameters."""
