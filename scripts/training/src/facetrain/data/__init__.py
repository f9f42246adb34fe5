"""Pictures of faces: readers, packs, splits, batches, augmentation, and the daemon's own crops."""
