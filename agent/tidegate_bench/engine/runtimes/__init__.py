"""The runtimes that the engine benchmark compares, a file each; importing one loads none of them."""
