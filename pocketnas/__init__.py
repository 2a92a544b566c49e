"""The face of PocketNAS: command line, the whole pipeline, configuration, the report."""
