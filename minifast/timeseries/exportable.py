"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "forecasting.learner": "ForecastLearner",
    "forecasting.loss": "ForecastLoss PinballLoss",
    "forecasting.model": "Forecaster",
    "forecasting.scale": "Scale",
    "loader": "SeriesDL",
    "loaders": "TSDataLoaders",
    "missing": "FillSteps",
    "models.dlinear": "DLinear",
    "models.fcn": "FCN",
    "models.inception_time": "InceptionTime",
    "models.naive": "Naive SeasonalNaive",
    "models.resnet1d": "ResNet1d",
    "models.series_model": "series_split",
    "models.tcn": "TCN",
    "pad": "PadSeries",
    "reading": "ReadSeries",
    "standardise": "TSNormalize TSStandardize",
    "tensors": "TensorForecast TensorSeries",
    "window_loader": "WindowDL",
    "window_set": "NoWindows",
}
