"""Ways to search a space that stand beside each other: the same space, costs, images, limit and accounting."""
