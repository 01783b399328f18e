"""How the teacher comes to be."""
