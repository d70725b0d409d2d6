"""The synthetic phone corpus, its features, and the recipe of the default model."""
