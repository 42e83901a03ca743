"""What every model folder is made of: graphs node by node, their weights, the vocabulary."""
