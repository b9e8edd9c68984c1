"""Floor 3: single-task teachers, their soft targets and the audit of both."""
