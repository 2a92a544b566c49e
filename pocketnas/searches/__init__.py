"""Searches side by side: run, trained by one recipe, and held against each other."""
