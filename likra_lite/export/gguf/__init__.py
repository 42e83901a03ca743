"""GGUF files to the description of a decoder, its tensors and its tokenizer."""
