"""Command line, opt driver, speech corpus, training recipes and benchmarks."""
