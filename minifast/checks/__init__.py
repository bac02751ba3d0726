"""Checks of a learner and its data: the recipe as one call. See `checks.learner.check_learner` and `checks.loaders.check_loaders`."""
