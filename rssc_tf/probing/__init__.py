"""What frozen features are worth: encoder, cached features, linear and kNN heads."""
