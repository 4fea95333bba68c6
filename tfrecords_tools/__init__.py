"""The lowest package: images and labels become TFRecords with a card. No Keras, no model."""
