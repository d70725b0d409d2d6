"""Importers: from the user's model file to the `nn` dialect."""
