"""Floor 1: records become batches of uint8 images. tf.data and nothing else."""
