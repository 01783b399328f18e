"""What every model is worth, from stored logits."""
