"""Checks of simulators against programs and measurements with known results."""
