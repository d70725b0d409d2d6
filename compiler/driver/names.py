"""Names of what a compiled folder holds."""

SCHEMA = "mohaq.compiled/1"
MANIFEST = "manifest.json"
EMITTED = "emitted"
TARGET_FILE = "target.toml"
ASSIGNMENT_FILE, ESTIMATE_FILE = "assignment.json", "estimate.json"
LEGALIZED = "3-legalized"
BEFORE, AFTER = "host-before", "host-after"
"""Programs that the host runs; absent where it has nothing to do."""

STOPPED = "stopped.json"
STOPPED_SCHEMA = "mohaq.stopped/1"
"""Of a folder that stopped before it was emitted."""
