"""What tidegate may change about a device: off unless asked, and always put back."""
