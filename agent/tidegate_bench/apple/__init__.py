"""What Apple's runtimes are given, shown without a Mac."""
