"""Floor 3: single-task teachers, and their soft targets."""
