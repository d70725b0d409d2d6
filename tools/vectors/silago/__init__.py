"""Vectors of the SiLago fabric: cell programs with every register-file write."""
