"""The Open Inference Protocol (KServe v2) with Triton's extensions: requests in, replies out, no I/O."""
