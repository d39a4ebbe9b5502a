"""The models beside the main one, as the supervisor knows them."""
