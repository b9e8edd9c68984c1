"""A trained student as one folder that runs without any code of ours, and what proves it right."""
