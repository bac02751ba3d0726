"""Checks of a learner, functions of a `Probe`: model, loss, gradients, optimizer, capacity, evaluation and speed."""
