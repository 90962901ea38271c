"""Planning calculator for training and serving language models."""

__version__ = "0.1.0"
