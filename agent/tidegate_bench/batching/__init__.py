"""What an engine gains by answering several samples at once."""
