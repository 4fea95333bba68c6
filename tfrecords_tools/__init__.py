"""The lowest package: images and labels on disk become TFRecords with a card. No Keras, no model."""
