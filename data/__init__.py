"""Floor 1: tasks, readers, tables, splits, rationales and batches."""
