"""Streams: frames from folders, cameras and pipes to answers in files, inside the worker, with no HTTP between."""
