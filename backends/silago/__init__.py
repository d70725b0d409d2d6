"""SiLago: the coarse-grained fabric of DRRA cells and DiMArch memory tiles (27-bit "NN" words)."""
