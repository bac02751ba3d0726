"""Everything for vision: `from minifast.vision.all import *`."""
from torchvision.models import mobilenet_v2, resnet18, resnet34, resnet50, resnet101, resnet152, squeezenet1_1

from ..basics import *
from ..basics import __all__ as _basics
from .augment.batch import RandomErasing, aug_transforms, setup_aug_tfms
from .augment.geometry import Dihedral, Flip, RandomResizedCropGPU, Rotate, Warp, Zoom
from .augment.item import (CropPad, DihedralItem, FlipItem, PadMode, RandomCrop, RandomResizedCrop, RatioResize, Resize, ResizeMethod)
from .augment.lighting import Brightness, Contrast, Hue, Saturation
from .models.backbones import create_body, model_meta
from .blocks import ImageBlock, MaskBlock
from .boxes import BBoxBlock, BBoxLblBlock, TensorBBox, get_annotations
from .models.heads import create_head
from .images import (Image, PILImage, PILImageBW, PILMask, TensorImage, TensorImageBW, TensorMask, ToTensor, image2tensor,
                     load_image, verify_image, verify_images)
from .normalize import IntToFloatTensor, Normalize, cifar_stats, imagenet_stats, mnist_stats
from .learner import cnn_learner, unet_learner, vision_learner
from .loaders import ImageDataLoaders, SegmentationDataLoaders
from .points import PointBlock, TensorPoint
from .utils import download_images, get_image_files_sorted, resize_images
from .models.xresnet import xresnet18, xresnet34, xresnet50

__all__ = sorted([*_basics,
    "BBoxBlock", "BBoxLblBlock", "Brightness", "Contrast", "CropPad", "Dihedral", "DihedralItem", "Flip", "FlipItem", "Hue", "Image",
    "ImageBlock", "ImageDataLoaders", "IntToFloatTensor", "MaskBlock", "Normalize", "PILImage", "PILImageBW", "PILMask", "PadMode",
    "PointBlock", "RandomCrop", "RandomErasing", "RandomResizedCrop", "RandomResizedCropGPU", "RatioResize", "Resize", "ResizeMethod",
    "Rotate", "Saturation", "SegmentationDataLoaders", "TensorBBox", "TensorImage", "TensorImageBW", "TensorMask", "TensorPoint",
    "ToTensor", "Warp", "Zoom", "aug_transforms", "cifar_stats", "cnn_learner", "create_body", "create_head", "download_images",
    "get_annotations", "get_image_files_sorted", "image2tensor", "imagenet_stats", "load_image", "mnist_stats", "mobilenet_v2",
    "model_meta", "resize_images", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "setup_aug_tfms", "squeezenet1_1",
    "unet_learner", "verify_image", "verify_images", "vision_learner", "xresnet18", "xresnet34", "xresnet50",
])
