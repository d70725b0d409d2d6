"""How each layer kind becomes integers; used by the pass `lower-to-qnn`."""
