"""What is measured (OpSpec), what was measured (LatencyTable), and what follows from it (prediction)."""
