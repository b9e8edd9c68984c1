"""The report: teachers against the student, with intervals, controls and examples."""
