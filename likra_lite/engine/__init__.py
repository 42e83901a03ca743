"""Text to log-probabilities: a language model in a folder, run by ONNX Runtime."""
