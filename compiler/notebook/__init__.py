"""How objects show themselves in notebooks. Names come from models, so all text is escaped."""
