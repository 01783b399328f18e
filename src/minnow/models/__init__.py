"""Model folders and what every model does, whatever it is for."""
