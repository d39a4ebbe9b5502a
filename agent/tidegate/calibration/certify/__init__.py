"""What counts as a failure, and which losses hold on part C."""
