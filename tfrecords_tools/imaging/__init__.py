"""The one reader of image files and rasters, for `convert`, `predict`, `serve` and `map`.

A file is read by its header (`header`, `tiff`): depth, bands and their names (`bands`), nodata,
alpha and masks. `images` makes 8-bit RGB of it by one rule (`rule`, `scaling`), which `measure`
takes from a set and the card keeps. `store` writes what a record holds. `graph` and `alike` say
which files TensorFlow decodes to the same pixels, so that their bytes may go into a model.
"""
