"""The commands of `mohaq`, one a file.

These modules import nothing heavy at the top, so that `mohaq --help` is quick; each function
imports what it needs.
"""
