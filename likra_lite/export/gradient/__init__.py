"""The gradient of a trunk, operator by operator, for training LoRA heads without PyTorch."""
