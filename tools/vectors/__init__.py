"""Programs with measured or predicted results, and the checks of our simulators against them."""
