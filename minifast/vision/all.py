"""Everything for vision: `from minifast.vision.all import *`."""
from torchvision import models
from torchvision.models import mobilenet_v2, resnet18, resnet34, resnet50, resnet101, resnet152, squeezenet1_1

from ..basics import *
from ..basics import __all__ as __all__           # written so that type checkers know its names
from .augment.batch import RandomErasing, aug_transforms, setup_aug_tfms
from .augment.geometry import Dihedral, Flip, RandomResizedCropGPU, Rotate, Warp, Zoom
from .augment.item import (BILINEAR, CropPad, DihedralItem, FlipItem, NEAREST, PadMode, RandomCrop, RandomResizedCrop, RatioResize, Resize,
                           ResizeMethod)
from .augment.lighting import Brightness, Contrast, Hue, Saturation
from .blocks import AddMaskCodes, ImageBlock, MaskBlock
from .boxes import BBoxBlock, BBoxLblBlock, LabeledBBox, TensorBBox, bb_pad, get_annotations
from .images import (PILBase, PILImage, PILImageBW, PILMask, TensorImage, TensorImageBW, TensorMask, ToTensor, image2tensor,
                     load_image, verify_image, verify_images)
from .learner import cnn_learner, unet_learner, vision_learner
from .loaders import ImageDataLoaders, SegmentationDataLoaders
from .models.backbones import create_body, create_cnn_model, create_vision_model, default_split, has_pool_type, model_meta
from .models.heads import add_head, create_head
from .models.pretrained import TimmBody
from .models.unet import DynamicUnet, UnetBlock, create_unet_model
from .models.xresnet import (XResNet, xresnet101, xresnet152, xresnet18, xresnet18_deep, xresnet18_deeper, xresnet34, xresnet34_deep,
                             xresnet34_deeper, xresnet50, xresnet50_deep, xresnet50_deeper, xresnext101, xresnext18, xresnext34,
                             xresnext50, xse_resnet101, xse_resnet152, xse_resnet18, xse_resnet34, xse_resnet50, xse_resnext101,
                             xse_resnext18, xse_resnext18_deep, xse_resnext18_deeper, xse_resnext34, xse_resnext34_deep,
                             xse_resnext34_deeper, xse_resnext50, xse_resnext50_deep, xse_resnext50_deeper, xsenet154)
from .normalize import IntToFloatTensor, Normalize, cifar_stats, imagenet_stats, mnist_stats
from .pillow import Image
from .points import PointBlock, PointScaler, TensorPoint
from .utils import download_images, get_image_files_sorted, resize_image, resize_images

__all__ = [*__all__]
__all__ += [
    "AddMaskCodes", "BBoxBlock", "BBoxLblBlock", "BILINEAR", "Brightness", "Contrast", "CropPad", "Dihedral", "DihedralItem",
    "DynamicUnet", "Flip", "FlipItem", "Hue", "Image", "ImageBlock", "ImageDataLoaders", "IntToFloatTensor", "LabeledBBox",
    "MaskBlock", "NEAREST", "Normalize", "PILBase", "PILImage", "PILImageBW", "PILMask", "PadMode", "PointBlock", "PointScaler",
    "RandomCrop", "RandomErasing", "RandomResizedCrop", "RandomResizedCropGPU", "RatioResize", "Resize", "ResizeMethod", "Rotate",
    "Saturation", "SegmentationDataLoaders", "TensorBBox", "TensorImage", "TensorImageBW", "TensorMask", "TensorPoint", "TimmBody",
    "ToTensor", "UnetBlock", "Warp", "XResNet", "Zoom", "add_head", "aug_transforms", "bb_pad", "cifar_stats", "cnn_learner",
    "create_body", "create_cnn_model", "create_head", "create_unet_model", "create_vision_model", "default_split",
    "download_images", "get_annotations", "get_image_files_sorted", "has_pool_type", "image2tensor", "imagenet_stats", "load_image",
    "mnist_stats", "mobilenet_v2", "model_meta", "models", "resize_image", "resize_images", "resnet101", "resnet152", "resnet18",
    "resnet34", "resnet50", "setup_aug_tfms", "squeezenet1_1", "unet_learner", "verify_image", "verify_images", "vision_learner",
    "xresnet101", "xresnet152",
    "xresnet18", "xresnet18_deep", "xresnet18_deeper", "xresnet34", "xresnet34_deep", "xresnet34_deeper", "xresnet50",
    "xresnet50_deep", "xresnet50_deeper", "xresnext101", "xresnext18", "xresnext34", "xresnext50", "xse_resnet101", "xse_resnet152",
    "xse_resnet18", "xse_resnet34", "xse_resnet50", "xse_resnext101", "xse_resnext18", "xse_resnext18_deep", "xse_resnext18_deeper",
    "xse_resnext34", "xse_resnext34_deep", "xse_resnext34_deeper", "xse_resnext50", "xse_resnext50_deep", "xse_resnext50_deeper",
    "xsenet154",
]
__all__.sort()
