"""Phases of a program as cell programs: shapes in, instructions and cycles out."""
