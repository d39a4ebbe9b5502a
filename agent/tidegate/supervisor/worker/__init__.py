"""The worker process as the supervisor sees it: started, asked, restarted."""
