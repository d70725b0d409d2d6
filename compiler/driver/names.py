"""Names of what a compiled folder holds."""

SCHEMA = "mohaq.compiled/1"
MANIFEST = "manifest.json"
EMITTED = "emitted"
TARGET_FILE = "target.toml"
LEGALIZED = "3-legalized"
BEFORE, AFTER = "host-before", "host-after"
"""Programs that the host runs; absent where it has nothing to do."""
