"""Processes forked off one that has imported what tests run in them: each begins at once."""

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "fake_service_world", "here"])
