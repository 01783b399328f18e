"""The training loop, its checkpoints, and what it aims at."""
