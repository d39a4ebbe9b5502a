"""`tidegate bench engine`: our engines beside their peers."""
