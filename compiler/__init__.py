"""The compiler core: dialects, parameters, frontends, interpreters, driver and search."""
