"""Checks of data, functions of a `DataProbe`: image files, labels, tables, texts and batches."""
