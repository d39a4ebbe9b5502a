"""What `tidegate diag` gathers for whoever is asked for help, without what is nobody's business."""
