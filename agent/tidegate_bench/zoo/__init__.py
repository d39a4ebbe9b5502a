"""Well-known networks, one file per family, written anew with the parameter names of their torchvision twins."""
