"""The native runner: its sources (`src/`) and how they are built."""
