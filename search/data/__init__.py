"""Real images for classification: where they come from, how they are checked, split, augmented and batched."""
