"""Floor 2: the multi-task model, how it starts, how it is saved, how it answers."""
