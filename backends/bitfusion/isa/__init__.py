"""Our Fusion-ISA-style instruction set (docs/isa/bitfusion.md): words, instructions, blocks."""
