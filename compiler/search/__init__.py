"""The precision search: genes, NSGA-II loop, evaluator, record and fronts (DESIGN D6-D8)."""
