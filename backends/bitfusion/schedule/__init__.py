"""Tile sizes of blocks, and the counts that follow from a block and a launch."""
