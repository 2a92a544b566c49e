"""From a trained network to verified .tflite and .pte files."""
