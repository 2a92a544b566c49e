"""One self-contained HTML file from a run directory: what was promised, what was measured, and how it came about."""
