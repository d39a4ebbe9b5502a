"""What an answer costs the worker beside the network: `tidegate bench serving`."""
