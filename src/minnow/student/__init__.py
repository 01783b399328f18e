"""What the student begins as."""
