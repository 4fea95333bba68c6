"""The middle package: records become batches of uint8 images. tf.data and nothing else."""
