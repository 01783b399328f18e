"""A training's curve: one row an epoch, with the loss on train and the F1 on validation."""
