"""Transforms of images: of one PIL image on its way to a batch, and random changes of whole batches."""
from .affine import AffineWarp
from .batch import RandomErasing, aug_transforms, setup_aug_tfms
from .geometry import Dihedral, Flip, RandomResizedCropGPU, Rotate, Scale, Warp, Zoom
from .item import CropPad, DihedralItem, FlipItem, PadMode, RandomCrop, RandomResizedCrop, RatioResize, Resize, ResizeMethod
from .lighting import Brightness, Contrast, Grey, Hue, Lighting, Saturation, Tint

__all__ = ["AffineWarp", "Brightness", "Contrast", "CropPad", "Dihedral", "DihedralItem", "Flip", "FlipItem", "Grey", "Hue", "Lighting",
           "PadMode", "RandomCrop", "RandomErasing", "RandomResizedCrop", "RandomResizedCropGPU", "RatioResize", "Resize", "ResizeMethod",
           "Rotate", "Saturation", "Scale", "Tint", "Warp", "Zoom", "aug_transforms", "setup_aug_tfms"]
