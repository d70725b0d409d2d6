"""From a legalized `qnn` program to stages of one program that all cores run."""
