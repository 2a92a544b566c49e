"""Tables in the layouts of others: CSV, ProxylessNAS' and Once-for-All's YAML, TuNAS' linear models."""
