"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "loader": "SeriesDL",
    "loaders": "TSDataLoaders",
    "missing": "FillSteps",
    "models.fcn": "FCN",
    "models.inception_time": "InceptionTime",
    "models.resnet1d": "ResNet1d",
    "models.series_model": "series_split",
    "pad": "PadSeries",
    "reading": "ReadSeries",
    "standardise": "TSNormalize TSStandardize",
    "tensors": "TensorSeries",
}
