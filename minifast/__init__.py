"""minifast: a layered deep-learning framework on PyTorch. Importing this package imports nothing heavy."""
__version__ = "0.1.0"
