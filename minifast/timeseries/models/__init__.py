"""Architectures for series, one file each."""
