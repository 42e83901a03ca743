"""The files of a Hugging Face checkpoint, in a local folder or on the hub, as they are."""
