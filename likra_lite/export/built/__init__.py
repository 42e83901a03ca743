"""A described decoder to graphs, without PyTorch; configurations to such descriptions."""
