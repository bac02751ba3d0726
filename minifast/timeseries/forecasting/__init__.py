"""Forecasts: the model around an architecture, its scale and losses, and what comes after the last row."""
