"""Everything for vision: `from minifast.vision.all import *`."""
from torchvision.models import (alexnet, convnext_tiny, densenet121, densenet161, densenet169, densenet201, efficientnet_b0, mobilenet_v2,
                                mobilenet_v3_small, resnet18, resnet34, resnet50, resnet101, resnet152, resnext50_32x4d, squeezenet1_0,
                                squeezenet1_1, swin_t, vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn, vit_b_16, wide_resnet50_2)

from ..basics import *
from ..basics import __all__ as _basics
from .augment_affine import AffineWarp, Dihedral, Flip, RandomResizedCropGPU, Rotate, Warp, Zoom
from .augment_batch import RandomErasing, aug_transforms, setup_aug_tfms
from .augment_item import (CropPad, DihedralItem, FlipItem, PadMode, RandomCrop, RandomResizedCrop, RatioResize, Resize, ResizeMethod)
from .augment_lighting import Brightness, Contrast, Hue, Lighting, Saturation
from .backbones import arch_meta, create_body, create_vision_model
from .blocks import ImageBlock, MaskBlock
from .heads import create_head
from .images import (Image, IntToFloatTensor, Normalize, PILImage, PILImageBW, PILMask, TensorImage, TensorImageBW, TensorMask, ToTensor,
                     cifar_stats, image2tensor, imagenet_stats, load_image, mnist_stats, verify_image, verify_images)
from .learner import cnn_learner, vision_learner
from .loaders import ImageDataLoaders, SegmentationDataLoaders
from .pretrained import WeightsNotFound
from .reading import UnreadableImage

__all__ = sorted([*_basics,
    "AffineWarp", "Brightness", "Contrast", "CropPad", "Dihedral", "DihedralItem", "Flip", "FlipItem", "Hue", "Image",
    "ImageBlock", "ImageDataLoaders", "IntToFloatTensor", "Lighting", "MaskBlock", "Normalize", "PILImage", "PILImageBW",
    "PILMask", "PadMode", "RandomCrop", "RandomErasing", "RandomResizedCrop", "RandomResizedCropGPU", "RatioResize", "Resize",
    "ResizeMethod", "Rotate", "Saturation", "SegmentationDataLoaders", "TensorImage", "TensorImageBW", "TensorMask", "ToTensor",
    "UnreadableImage", "Warp", "WeightsNotFound", "Zoom", "alexnet", "arch_meta", "aug_transforms", "cifar_stats", "cnn_learner",
    "convnext_tiny", "create_body", "create_head", "create_vision_model", "densenet121", "densenet161", "densenet169",
    "densenet201", "efficientnet_b0", "image2tensor", "imagenet_stats", "load_image", "mnist_stats", "mobilenet_v2",
    "mobilenet_v3_small", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "resnext50_32x4d", "setup_aug_tfms",
    "squeezenet1_0", "squeezenet1_1", "swin_t", "verify_image", "verify_images", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn",
    "vision_learner", "vit_b_16", "wide_resnet50_2",
])
