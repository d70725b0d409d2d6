"""Instructions of the SiLago cells: fields, words, text (docs/isa/silago.md)."""
