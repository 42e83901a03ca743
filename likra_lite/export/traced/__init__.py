"""Any decoder that transformers knows to graphs, by tracing it with PyTorch."""
