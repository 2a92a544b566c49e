"""The search: spaces, the supernet with binarised paths, latency-aware losses, data and training."""
