"""For those who write a driver: recorded devices laid out as files, and files that fail as real ones do.

`device_tree` needs nothing; `fault_mount` needs Linux, FUSE and the package mfusepy; `uevent_sender` needs a
network namespace.
"""
