"""The reference: torch, operator by operator. All other engines are checked against it."""
