"""Looking at what a learner predicts: `Interpretation` and its kinds, likely label errors, calibration, heat maps."""
