"""How a ladder comes to be: its rooms are the steps, the files beside them what several steps share."""
