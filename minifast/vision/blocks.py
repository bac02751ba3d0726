"""The data blocks of vision: pictures and masks."""

__all__ = ["AddMaskCodes", "ImageBlock", "MaskBlock"]
