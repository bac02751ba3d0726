"""Everything for vision: `from minifast.vision.all import *`."""
from torchvision.models import mobilenet_v2, resnet18, resnet34, resnet50, resnet101, resnet152, squeezenet1_1

from ..basics import *
from ..basics import __all__ as _basics
from .augment_affine import AffineWarp, Dihedral, Flip, RandomResizedCropGPU, Rotate, Warp, Zoom
from .augment_batch import RandomErasing, aug_transforms, setup_aug_tfms
from .augment_item import (CropPad, DihedralItem, FlipItem, PadMode, RandomCrop, RandomResizedCrop, RatioResize, Resize, ResizeMethod)
from .augment_lighting import Brightness, Contrast, Hue, Lighting, Saturation
from .backbones import create_body, create_vision_model
from .blocks import ImageBlock, MaskBlock
from .heads import create_head
from .images import (Image, IntToFloatTensor, Normalize, PILImage, PILImageBW, PILMask, TensorImage, TensorImageBW, TensorMask, ToTensor,
                     cifar_stats, image2tensor, imagenet_stats, load_image, mnist_stats, verify_image, verify_images)
from .learner import cnn_learner, vision_learner
from .loaders import ImageDataLoaders, SegmentationDataLoaders

__all__ = sorted([*_basics,
    "Brightness", "Contrast", "CropPad", "Dihedral", "DihedralItem", "Flip", "FlipItem", "Hue", "Image", "ImageBlock",
    "ImageDataLoaders", "IntToFloatTensor", "MaskBlock", "Normalize", "PILImage", "PILImageBW", "PILMask", "PadMode", "RandomCrop",
    "RandomErasing", "RandomResizedCrop", "RandomResizedCropGPU", "RatioResize", "Resize", "ResizeMethod", "Rotate", "Saturation",
    "SegmentationDataLoaders", "TensorImage", "TensorImageBW", "TensorMask", "ToTensor", "Warp", "Zoom", "aug_transforms",
    "cifar_stats", "cnn_learner", "create_body", "create_head", "create_vision_model", "image2tensor", "imagenet_stats", "load_image",
    "mnist_stats", "mobilenet_v2", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "setup_aug_tfms", "squeezenet1_1",
    "verify_image", "verify_images", "vision_learner",
])
