"""The stages of a run, one a file; each is skipped when its inputs are unchanged."""
