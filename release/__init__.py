"""What makes a release of tidegate: its site, its bill of materials, its licences, and the check of all of it."""
