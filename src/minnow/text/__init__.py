"""What a text is before it is tokens. All that knows URLs is here."""
