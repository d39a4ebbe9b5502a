"""Text for terminals: broken into lines, laid out in rows and in tables, within the room there is."""
