"""tidegate: keeps neural networks answering on devices that run on batteries and get hot."""

__version__ = "0.1.0"
