"""Looking at what a learner predicts: `Interpretation` and its kinds, likely label errors, calibration, heat maps."""
from .base import Interpretation
from .classification import ClassificationInterpretation
from .cleaner import Decisions, ImageClassifierCleaner
from .grad_cam import class_activation, grad_cam, plot_class_activation, plot_filters, plot_grad_cam
from .regression import RegressionInterpretation
from .segmentation import SegmentationInterpretation

__all__ = [
    "ClassificationInterpretation",
    "Decisions",
    "ImageClassifierCleaner",
    "Interpretation",
    "RegressionInterpretation",
    "SegmentationInterpretation",
    "class_activation",
    "grad_cam",
    "plot_class_activation",
    "plot_filters",
    "plot_grad_cam",
]
