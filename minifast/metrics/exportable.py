"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "forecasting": "smape",
    "functions": "accuracy accuracy_multi error_rate exp_rmspe foreground_acc mae mse msle rmse top_k_accuracy",
}
