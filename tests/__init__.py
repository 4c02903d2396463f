"""Tests: each name or docstring is a sentence about behaviour."""
