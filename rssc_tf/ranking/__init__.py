"""Which weights are best for a target: probes of frozen features over draws, with intervals."""
