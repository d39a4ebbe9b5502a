"""Content by its hash: what a file is cut into, so that only what a receiver lacks has to travel."""
