"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "augment.affine": "AffineWarp",
    "augment.geometry": "RandomResizedCropGPU",
    "augment.item": "CropPad RandomCrop RandomResizedCrop RatioResize Resize",
    "blocks": "AddMaskCodes open_mask show_mask",
    "boxes": "BoxCategorize TensorBBox bb_pad",
    "images": "Image PILBase PILImage PILImageBW PILMask TensorImage TensorMask ToTensor",
    "loaders": "ImageDataLoaders SegmentationDataLoaders",
    "models.backbones": "create_vision_model default_split split_at split_in_halves",
    "models.unet": "create_unet_model",
    "normalize": "IntToFloatTensor Normalize",
    "opening": "OpenImage",
    "points": "PointScaler ReadPoints TensorPoint",
    "tta_geometry": "tta_boxes tta_masks tta_points",
}
