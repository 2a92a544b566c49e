"""The stages of a run, one file each: every one reads what the one before wrote, and writes its own."""
