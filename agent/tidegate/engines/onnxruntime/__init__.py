"""The onnx engine: ONNX Runtime, for processes without torch."""
