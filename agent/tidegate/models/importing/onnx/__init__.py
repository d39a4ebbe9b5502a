"""An ONNX file as a torch module, which is then exported like any other: one way into graphs."""
