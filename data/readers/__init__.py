"""One reader a public format; each turns a file into checked records."""
