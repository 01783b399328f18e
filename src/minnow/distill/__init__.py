"""What the student learns from: losses on logits, and white-box terms."""
