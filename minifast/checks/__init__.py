"""Checks of a learner and its data: the recipe as one call. See `check_learner` and `check_loaders`."""
