"""The report of a search: one HTML file that needs no network and no server."""
