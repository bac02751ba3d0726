"""Bodies, heads and whole networks for images."""
from .backbones import ArchMeta, arch_meta, create_body, create_cnn_model, create_vision_model, default_split, model_meta, num_features
from .heads import add_head, create_head
from .unet import DynamicUnet, UnetBlock, create_unet_model
from .xresnet import XResNet, xresnet18, xresnet34, xresnet50, xresnet101, xresnet152

__all__ = ["ArchMeta", "DynamicUnet", "UnetBlock", "XResNet", "add_head", "arch_meta", "create_body", "create_cnn_model", "create_head",
           "create_unet_model", "create_vision_model", "default_split", "model_meta", "num_features", "xresnet18", "xresnet34",
           "xresnet50", "xresnet101", "xresnet152"]
