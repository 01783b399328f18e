"""A quantized model as one file that runs without torch, and the proof that it is that model."""
