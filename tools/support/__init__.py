"""What mohaq supports, found by trying: operation x importer x executor x target x widths."""
