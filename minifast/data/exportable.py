"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "block": "TransformBlock",
    "categories": "Categorize CategoryMap MultiCategorize RegressionSetup category_map",
    "coords": "BoundingBoxes BoxLabels KeyPoints XYXY",
    "dataloader": "DataLoader",
    "datasets": "empty_datasets",
    "labels": "AttrGetter ColReader ItemGetter RegexLabeller parent_label",
    "loaders": "DataLoaders",
    "one_hot": "EncodedMultiCategorize OneHotEncode",
    "pipeline": "Pipeline",
    "rows": "RowLike",
    "template": "NoItems Shape",
    "torchvision_v2": "V2",
    "transforms": "ItemTransform Transform",
}
