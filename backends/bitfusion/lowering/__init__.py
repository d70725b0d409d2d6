"""From a legalized `qnn` program to blocks: grouping, placement, microprograms."""
