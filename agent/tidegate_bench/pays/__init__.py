"""Does a ladder pay: trained networks that the search was not tuned to, against the fastest fixed engine."""
