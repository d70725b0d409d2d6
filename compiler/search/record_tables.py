"""Tables of the log of a search."""

TABLES = """
CREATE TABLE header (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE evaluations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL, widths TEXT NOT NULL,
    status TEXT NOT NULL, message TEXT NOT NULL, tries INTEGER NOT NULL,
    value REAL, errors TEXT, totals TEXT, seconds REAL NOT NULL);
CREATE TABLE generations (
    number INTEGER PRIMARY KEY, genomes TEXT NOT NULL, evaluations INTEGER NOT NULL,
    hypervolume REAL NOT NULL);
"""

BEACON_TABLES = """
CREATE TABLE IF NOT EXISTS beacons (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL, widths TEXT NOT NULL, program TEXT NOT NULL,
    failure TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS beacon_generations (
    number INTEGER PRIMARY KEY, genomes TEXT NOT NULL, evaluations INTEGER NOT NULL,
    hypervolume REAL NOT NULL);
"""
"""Only in the logs of beacon searches; both kinds of search share the evaluations."""

BOUNDS_TABLE = """
CREATE TABLE IF NOT EXISTS bounds (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, sequences TEXT NOT NULL,
    generation INTEGER NOT NULL, widths TEXT NOT NULL, bound REAL NOT NULL,
    errors TEXT NOT NULL, totals TEXT NOT NULL, seconds REAL NOT NULL, UNIQUE (key, sequences));
"""
"""Errors of the sequences that are run first (`early_stop`): bounds, no errors of a candidate."""
