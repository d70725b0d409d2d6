"""The dialects of the core: `param`, `quant`, `nn` (float) and `qnn` (integers only)."""
