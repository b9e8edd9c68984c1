"""A page for a browser in which the student itself runs: built as a folder, served on localhost."""
