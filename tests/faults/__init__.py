"""Faults, each caused for real: what we promise to survive."""
