"""A real task that trains in seconds."""
