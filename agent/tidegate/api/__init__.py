"""What `import tidegate` gives: ladders in one's own process, without the service."""
