"""How the architecture parameters learn: one file a way, all behind search.updates.update.Update."""
