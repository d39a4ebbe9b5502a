"""A ladder for people to read: an HTML page and Markdown tables."""
